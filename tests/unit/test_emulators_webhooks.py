"""Which webhooks are the emulator's own: any other may lead to a real CRM, and requires keys."""

import pytest

from emulator.http.webhooks import is_emulator_webhook


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:3024/rest/1/local-webhook-code/",
        "http://localhost:3024/rest/1/local-webhook-code",
        "https://127.0.0.1:9/rest/1/enterprise-webhook-code/",
        "http://[::1]:3024/rest/1/second-webhook-code/",
    ],
)
def test_a_loopback_url_with_a_code_of_the_emulator_is_a_webhook_of_the_emulator(url: str) -> None:
    assert is_emulator_webhook(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://127.0.0.1:3024/rest/1/a-real-code/",
        "http://localhost.example/rest/1/local-webhook-code/",
        "https://acme.bitrix24.com/rest/1/local-webhook-code/",
        "https://acme.bitrix24.com/rest/1/s3cr3tc0de/",
        "http://10.0.0.7:3024/rest/1/local-webhook-code/",
        "http://127.0.0.1:3024/rest/local-webhook-code/a-real-code/",
        "http://127.0.0.1@acme.bitrix24.com/rest/1/local-webhook-code/",
        "http://127.0.0.1:3024/rest/1/a-real-code/?x=/local-webhook-code",
    ],
)
def test_any_other_url_is_not_the_emulators_webhook(url: str) -> None:
    assert not is_emulator_webhook(url)

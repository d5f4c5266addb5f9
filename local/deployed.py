"""`python -m local.deployed functions/create_user`: serve a function as it was last deployed.

The deployment that the edge's OpenFaaS API stored becomes the environment, then the function's
server starts in this process.
"""

import os
import sys
from pathlib import Path

if __name__ == "__main__":  # before the imports that it speeds up
    from leadline.runtime.serving import cold_start

    cold_start.prepare()

from leadline.runtime.serving import serve
from local.deployments import Deployments

#: Removed from the environment: a function has only the secrets that it names, as on OpenFaaS.
_SECRETS = (
    *("API_KEYS", "INTERNAL_KEY"),
    *("DATABASE_URL", "AMQP_URL", "REDIS_URL", "BITRIX_WEBHOOK_URL"),
)


def main() -> None:
    """Serve until SIGTERM."""
    name = Path(sys.argv[1]).name.replace("_", "-")
    deployments = Deployments(Path(os.environ["LEADLINE_DEPLOYMENTS"]))
    environment = deployments.prepare_environment(name, Path(os.environ["LEADLINE_SECRETS_DIR"]))
    if environment:
        for secret in _SECRETS:
            os.environ.pop(secret, None)
        os.environ.update(environment)
    serve.main()


if __name__ == "__main__":
    main()

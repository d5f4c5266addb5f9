"""Small mistakes in the code, each with the tests that must detect it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One change of one file; `old` occurs in it exactly once."""

    mistake: str
    file: str
    old: str
    new: str
    #: Ids of tests; each of them must fail.
    tests: tuple[str, ...]


_ENQUEUE = "tests/integration/test_enqueue.py::"
_QUEUE = "tests/integration/test_queue.py::"
_VOUCHING = "tests/integration/test_queue_vouching.py::"
_RELAY = "tests/integration/test_relay.py::"
_QUEUE_ARGUMENTS = "tests/integration/test_queue_arguments.py::"
_BACKLOG = "tests/integration/test_relay_backlog.py::"
_CALLS = "tests/integration/test_calls.py::"
_RATE = "tests/integration/test_rate.py::"
_OPERATING_BUDGET = "tests/integration/test_operating_budget.py::"
_PUBLISHER = "tests/integration/test_publisher.py::"
_OUTCOMES = "tests/unit/test_decide_outcomes.py::"
_AUTH = "tests/unit/test_auth.py::"
_ENTRY = "tests/unit/test_entry.py::"
_SETTLED = "tests/unit/test_decide_settled.py::"
_ERASE = "tests/integration/test_erase.py::"
_DUPLICATES = "tests/integration/test_duplicates.py::"
_DUPLICATE_RULES = "tests/unit/test_duplicate_rules.py::"
_FIRST_MATCH = "tests/integration/test_first_match.py::"
_MAP_CHANGES = "tests/integration/test_map_changes.py::"
_CLUSTERS = "tests/integration/test_clusters.py::"
_CONTACT = "tests/unit/test_contact_details.py::"
_FURTHER = "tests/unit/test_further_fields.py::"
_CONNECTOR = "tests/integration/test_connector.py::"

MUTATIONS = (
    Mutation(
        "a message does not say when it was sent",
        "leadline/sync/enqueue.py",
        "sent_at_ms=number(delivery.attributes.get(SENT)),",
        "sent_at_ms=None,",
        (
            _ENQUEUE
            + "test_a_message_sent_before_redis_lost_its_data_is_left_to_its_sender_to_republish",
        ),
    ),
    Mutation(
        "what was pending before a loss of Redis' memory is applied at once",
        "leadline/workqueue/lua/lease.lua",
        "return vouched_epoch and vouched_epoch ~= epoch",
        "return false",
        (_VOUCHING + "test_pending_events_wait_until_their_sender_repeats_them",),
    ),
    Mutation(
        "a message from before a loss of Redis' memory counts if the user is known",
        "leadline/workqueue/lua/put.lua",
        "and redis.call('HGET', entry, 'vouched_epoch') ~= epoch then",
        "and redis.call('EXISTS', entry) == 0 then",
        (_VOUCHING + "test_a_copy_from_before_the_loss_does_not_vouch_for_itself",),
    ),
    Mutation(
        "events that no one republishes are held back, too",
        "leadline/workqueue/lua/put.lua",
        "redis.call('HDEL', entry, 'vouched_epoch')",
        "redis.call('HSET', entry, 'vouched_epoch', epoch)",
        (_VOUCHING + "test_events_that_no_sender_republishes_are_applied_after_a_loss",),
    ),
    Mutation(
        "the ledger's events of a user with foreign ones are held back",
        "leadline/workqueue/lua/put.lua",
        "elseif is_only_event or redis.call('HEXISTS', entry, 'vouched_epoch') == 1 then",
        "else",
        (_VOUCHING + "test_events_that_no_sender_republishes_are_applied_after_a_loss",),
    ),
    Mutation(
        "an older event that is published late claims to be the newest",
        "leadline/ledger/relay.py",
        "CASE WHEN NOT has_newer\n",
        "CASE WHEN true\n",
        (_RELAY + "test_an_event_with_a_newer_one_does_not_claim_to_be_the_newest",),
    ),
    Mutation(
        "what Redis can't vouch for is republished when it is due, perhaps an hour later",
        "leadline/ledger/relay.py",
        "AND state = 'open' AND due_at > now()\n",
        "AND state = 'open' AND due_at < now()\n",
        (_BACKLOG + "test_an_event_that_redis_may_have_lost_is_republished_at_once",),
    ),
    Mutation(
        "while a queue is migrated, its exchange leads nowhere",
        "leadline/connector/queue_arguments.py",
        "channel.queue_bind(parking_queue, queue.name, routing_key=queue.name)",
        "pass",
        (
            _QUEUE_ARGUMENTS
            + "test_messages_published_during_the_migration_are_neither_refused_nor_lost",
        ),
    ),
    Mutation(
        "every delivery counts as the first",
        "leadline/sync/enqueue.py",
        "is_first=delivery.is_first,",
        "is_first=True,",
        (_ENQUEUE + "test_a_possible_redelivery_is_looked_up_first",),
    ),
    Mutation(
        "the request for a lookup is lost",
        "leadline/sync/enqueue.py",
        "is_lookup_requested=LOOK in changed,",
        "is_lookup_requested=False,",
        (_ENQUEUE + "test_a_message_can_request_a_lookup_even_if_nothing_seems_to_differ",),
    ),
    Mutation(
        "the stage's version is lost",
        "leadline/sync/enqueue.py",
        "stage_version=stage_version,",
        "stage_version=None,",
        (_ENQUEUE + "test_an_older_stage_change_keeps_its_version",),
    ),
    Mutation(
        "a name's change does not carry the stage that an earlier write set",
        "leadline/sync/enqueue.py",
        'if message.action != "update_card" or stage_version:',
        'if message.action != "update_card":',
        (_ENQUEUE + "test_a_stage_whose_own_message_was_lost_is_written_by_the_next_one",),
    ),
    Mutation(
        "the time in which a call may begin counts from the end of the lease command",
        "leadline/workqueue/queue.py",
        "return LeasedBatch(entries, expired, now_ms, send_until)",
        "return LeasedBatch(\n"
        "            entries, expired, now_ms, clock.now_s() + SEND_WITHIN_S\n"
        "        )",
        (_QUEUE + "test_the_time_to_send_counts_from_before_the_lease_command",),
    ),
    Mutation(
        "a nack counts as a confirm",
        "leadline/runtime/rabbitmq/confirms.py",
        'return type(method).__name__ == "Ack"',
        "return True",
        (_PUBLISHER + "test_a_message_that_the_broker_nacks_is_not_confirmed",),
    ),
    Mutation(
        "a reply is forgotten although the broker did not confirm it",
        "leadline/sync/batch_call.py",
        "if (user_id, event.event_id) in confirmed]",
        "if confirmed is not None]",
        (_CALLS + "test_an_unconfirmed_reply_is_sent_later_and_the_lead_is_left_alone",),
    ),
    Mutation(
        "a worker takes no token",
        "leadline/sync/batching.py",
        "wait_s = portal_session.token_bucket().reserve()",
        "wait_s = 0.0",
        (_RATE + "test_each_request_takes_a_token[worker]",),
    ),
    Mutation(
        "a worker does not wait for its token",
        "leadline/sync/batching.py",
        "        time.sleep(wait_s)\n",
        "",
        (_RATE + "test_no_request_is_sent_before_its_token[worker]",),
    ),
    Mutation(
        "the stages are read without a token",
        "leadline/sync/stage_sync.py",
        "portal_session.wait_for_token()",
        "pass",
        (
            _RATE + "test_each_request_takes_a_token[stages]",
            _RATE + "test_no_request_is_sent_before_its_token[stages]",
        ),
    ),
    Mutation(
        "the portal is probed without a token",
        "leadline/sync/portal_session.py",
        "    wait_for_token()\n",
        "",
        (
            _RATE + "test_each_request_takes_a_token[probe]",
            _RATE + "test_no_request_is_sent_before_its_token[probe]",
        ),
    ),
    Mutation(
        "the reconciler reads without a token",
        "leadline/sync/reconcile/throttled_reads.py",
        "time.sleep(portal_session.token_bucket().reserve())",
        "time.sleep(0)",
        (
            _RATE + "test_each_request_takes_a_token[reading]",
            _RATE + "test_no_request_is_sent_before_its_token[reading]",
        ),
    ),
    Mutation(
        "one and a half times the operating limit is used",
        "leadline/bitrix24/operating_budget.py",
        "SHARE = 0.98",
        "SHARE = 1.5",
        (_OPERATING_BUDGET + "test_a_method_is_used_up_to_its_limit_and_never_beyond",),
    ),
    Mutation(
        "fencing tokens follow Redis' clock when it is set back",
        "leadline/workqueue/lua/lease.lua",
        "math.max(time[1] * 1000000 + time[2], last + 1)",
        "time[1] * 1000000 + time[2]",
        (_QUEUE + "test_a_lease_does_not_outlive_a_later_one_even_if_redis_clock_was_set_back",),
    ),
    Mutation(
        "a full page without our lead counts as proof that there is none",
        "leadline/bitrix24/lead_parsing.py",
        "is_complete = len(readable) == len(answer) < PAGE",
        "is_complete = len(readable) == len(answer)",
        (
            _CALLS + "test_a_full_page_does_not_prove_that_a_lead_is_missing",
            "tests/unit/test_bitrix_leads.py::test_a_full_page_may_have_left_out_a_lead",
        ),
    ),
    Mutation(
        "a lookup that may have left our lead out counts as one without it",
        "leadline/sync/interpret.py",
        "if not by_origin.is_complete or (by_id",
        "if False or (by_id",
        (_CALLS + "test_a_full_page_does_not_prove_that_a_lead_is_missing",),
    ),
    Mutation(
        "an entry that was about to expire does so although an event waits",
        "leadline/workqueue/lua/put.lua",
        "  redis.call('PERSIST', entry)\n",
        "",
        (_QUEUE + "test_an_idle_user_is_kept_once_an_event_waits",),
    ),
    Mutation(
        "a message, or its copy for an auxiliary queue, may be unroutable without notice",
        "leadline/runtime/rabbitmq/publisher_connection.py",
        "mandatory=True,",
        "mandatory=False,",
        (
            _PUBLISHER + "test_a_deleted_queue_is_reported_and_declared_again",
            _PUBLISHER + "test_an_unroutable_message_does_not_affect_the_others",
            _CONNECTOR + "test_deleted_auxiliary_queues_are_declared_again_and_no_message_is_lost",
        ),
    ),
    # Constants and properties, which the generated changes leave alone.
    Mutation(
        "the third attempt comes after two seconds too",
        "leadline/sync/decide.py",
        "RETRY_DELAYS_MS = (2000, 4000)",
        "RETRY_DELAYS_MS = (2000, 2000)",
        (_OUTCOMES + "test_a_newer_event_never_shortens_the_wait",),
    ),
    Mutation(
        "a lead may vanish three times in a row",
        "leadline/sync/decide.py",
        "VANISHED_MAX = 2",
        "VANISHED_MAX = 3",
        (_OUTCOMES + "test_a_lead_that_vanishes_twice_in_a_row_is_an_error_of_its_user",),
    ),
    Mutation(
        "a refusal of the portal counts as an error of the user",
        "leadline/bitrix24/errors.py",
        '"query_limit_exceeded": Refused',
        '"query_limit_exceeded": Rejected',
        (
            "tests/unit/test_bitrix_errors.py::test_errors_are_classified_whatever_the_case_of_their_code",
        ),
    ),
    Mutation(
        "a lead without an origin is adopted only because a message names it",
        "leadline/sync/decide.py",
        "if was_applied or entry.state is None or any(map(lead.resembles, entry.known_states)):",
        "if True:",
        (
            _SETTLED
            + "test_a_lead_without_an_origin_is_not_adopted_only_because_a_message_names_it",
        ),
    ),
    Mutation(
        "a matched lead is not recognised once its user has another phone",
        "leadline/workqueue/entries/entry.py",
        "return (*desired, *(state for event in self.events if (state := event.state)))",
        "return desired",
        (
            _SETTLED + "test_a_lead_is_recognised_by_what_a_waiting_message_says_of_its_user",
            _FIRST_MATCH + "test_changes_after_apply_create_no_duplicate",
        ),
    ),
    Mutation(
        "a user keeps claiming a lead that went to another",
        "leadline/ledger/settle_sql.py",
        "WHEN users.synced_version = 0 AND users.bitrix_lead_id = settled.taken_lead_id",
        "WHEN users.synced_version < 0 AND users.bitrix_lead_id = settled.taken_lead_id",
        (_FIRST_MATCH + "test_changes_after_apply_create_no_duplicate",),
    ),
    Mutation(
        "a refusal is understood by the check of an earlier map",
        "leadline/sync/fields/last_check.py",
        "mapping is None or self._check.digest != mapping.digest",
        "mapping is None",
        (_MAP_CHANGES + "test_a_refusal_is_understood_by_the_check_of_the_changed_map",),
    ),
    Mutation(
        "null in an import's JSON lines gets the default",
        "leadline/cli/files/import_file.py",
        "        values |= dict.fromkeys(cleared)\n",
        "",
        ("tests/integration/test_fields_exported.py::test_an_export_in_json_keeps_null",),
    ),
    Mutation(
        "a lead that was adopted by name or phone never gets its origin",
        "leadline/sync/decide.py",
        "originator_of(entry)) if entry.lacks_origin else None",
        "originator_of(entry)) if False else None",
        (
            _SETTLED
            + "test_a_lead_without_an_origin_is_adopted_by_its_name_or_phone_and_gets_its_origin",
        ),
    ),
    Mutation(
        "a lead is looked up again although its lookup is done",
        "leadline/workqueue/entries/entry.py",
        "return self.lookup_requested_seq > self.lookup_done_seq",
        "return self.lookup_requested_seq >= self.lookup_done_seq",
        (_ENTRY + "test_a_lookup_is_requested_until_it_is_done",),
    ),
    Mutation(
        "the lead that a message names counts before the one that was last applied",
        "leadline/workqueue/entries/entry.py",
        "ids = (applied, self.claimed_lead_id)",
        "ids = (self.claimed_lead_id, applied)",
        (_ENTRY + "test_the_known_lead_precedes_one_that_a_message_names",),
    ),
    Mutation(
        "an expired key still grants its scopes",
        "leadline/runtime/http/auth.py",
        "if not entry.is_expired]",
        "]",
        (_AUTH + "test_an_expired_key_grants_nothing_and_does_not_prevent_startup",),
    ),
    Mutation(
        "internal functions accept the key of a client or operator",
        "leadline/runtime/http/auth.py",
        'return INTERNAL_KEY if scope == "internal" else API_KEYS',
        "return API_KEYS",
        (_AUTH + "test_internal_functions_accept_only_the_internal_key",),
    ),
    Mutation(
        "a key that names no scopes grants all of them",
        "leadline/runtime/http/api_keys.py",
        '_DEFAULT_SCOPES = frozenset({"read", "write"})',
        "_DEFAULT_SCOPES = SCOPES",
        (_AUTH + "test_a_key_without_scopes_is_reported_at_startup_and_may_not_operate",),
    ),
    Mutation(
        "a key of 64 bits is strong enough",
        "leadline/runtime/http/api_keys.py",
        "_MIN_BITS = 128",
        "_MIN_BITS = 64",
        (_AUTH + "test_a_key_of_fewer_than_128_bits_prevents_startup_and_grants_nothing",),
    ),
    Mutation(
        "the whole key is logged when it is refused",
        "leadline/runtime/http/api_keys.py",
        "prefix = key[: min(_PREFIX_LENGTH, len(key) // 4)]",
        "prefix = key",
        (_AUTH + "test_the_logged_prefix_of_a_key_leaves_the_rest_unguessable",),
    ),
    Mutation(
        "a write at the same moment survives an erasure",
        "leadline/ledger/write_sql.py",
        "(ARRAY (SELECT id FROM request)) AND erased_at IS NULL",
        "(ARRAY (SELECT id FROM request))",
        (_ERASE + "test_writes_and_reads_of_an_erased_user_are_gone",),
    ),
    Mutation(
        "a worker that has the lease writes an erased person back",
        "leadline/workqueue/lua/put.lua",
        "  reject_settlement(entry, request.user)\n",
        "",
        (_ERASE + "test_a_worker_with_a_lease_does_not_restore_the_person",),
    ),
    Mutation(
        "a message from before an erasure is kept",
        "leadline/workqueue/lua/put.lua",
        "if request.is_erasure or order > newest or redis.call",
        "if true or redis.call",
        (_ERASE + "test_a_message_from_before_the_erasure_changes_nothing",),
    ),
    Mutation(
        "an erasure ends without a last lookup",
        "leadline/sync/erasure/rules.py",
        '{"doubt": 1, "erased_leads"',
        '{"erased_leads"',
        (_ERASE + "test_every_lead_and_every_phone_of_the_user_is_erased",),
    ),
    Mutation(
        "a result whose transaction commits late is missed",
        "leadline/results/collect.py",
        'OVERLAP = "30 seconds"',
        'OVERLAP = "0 seconds"',
        ("tests/integration/test_results.py::test_a_result_that_commits_late_is_not_missed",),
    ),
    Mutation(
        "two users are linked to one lead",
        "leadline/workqueue/lua/claim_leads.lua",
        "  if holder and holder ~= user then return -1 end\n",
        "",
        (_DUPLICATES + "test_a_claim_that_another_user_holds_is_respected",),
    ),
    Mutation(
        "a lead that was read long ago is linked",
        "leadline/sync/duplicates/rules.py",
        "return Lookup() if entry.lacks_origin and is_stale else planned",
        "return planned",
        (
            _DUPLICATE_RULES
            + "test_a_lead_without_an_origin_is_read_again_before_it_is_written_late",
        ),
    ),
    Mutation(
        "a closed lead is linked",
        "leadline/bitrix24/lead_parsing.py",
        "return self.is_open and not self.origin and not self.originator",
        "return not self.origin and not self.originator",
        (
            _DUPLICATE_RULES + "test_closed_owned_and_other_leads_do_not_count",
            _DUPLICATES + "test_a_lead_closed_after_the_search_is_not_linked",
        ),
    ),
    Mutation(
        "an answer that may lack ids counts as complete",
        "leadline/bitrix24/duplicates.py",
        "return Found(tuple(ids), len(ids_found) < FOUND_MAX)",
        "return Found(tuple(ids), True)",
        (_DUPLICATES + "test_more_leads_than_an_answer_holds_are_looked_up_alone",),
    ),
    Mutation(
        "a plan links two users to one lead",
        "leadline/operations/first_match/plans.py",
        "GROUP BY lead_id HAVING count(*) > 1",
        "GROUP BY lead_id HAVING count(*) > 9",
        (_FIRST_MATCH + "test_a_plan_distinguishes_the_kinds_of_users_and_writes_nothing",),
    ),
    Mutation(
        "a line is applied although its lead has changed",
        "leadline/operations/first_match/applying.py",
        'if _is_unchanged(line, new_lines.get(line["user_id"]))',
        'if line["user_id"] in new_lines',
        (_FIRST_MATCH + "test_users_changed_since_the_plan_are_skipped_and_reported",),
    ),
    Mutation(
        "e-mails are compared with regard to case",
        "leadline/bitrix24/lead_fields/contact_details.py",
        "return email.strip().lower()",
        "return email.strip()",
        (
            _CONTACT + "test_one_phone_or_one_email_is_enough",
            _DUPLICATES + "test_a_user_is_linked_by_its_email_too",
        ),
    ),
    Mutation(
        "a lead that was matched by its e-mail alone is not recognised",
        "leadline/bitrix24/lead_parsing.py",
        "or not details.emails.isdisjoint(ContactDetails.of(state).emails)",
        "or False",
        (_FIRST_MATCH + "test_a_plan_matches_by_email_too",),
    ),
    Mutation(
        "only phones are keys of a plan",
        "leadline/operations/first_match/match_keys.py",
        "return tails | {-(crc32(email.encode()) >> 1) - 1 for email in emails}",
        "return tails",
        (
            _CONTACT + "test_leads_that_match_a_user_share_a_match_key_with_it",
            _FIRST_MATCH + "test_a_plan_matches_by_email_too",
        ),
    ),
    Mutation(
        "unreadable rows prove that a lead has no e-mail",
        "leadline/bitrix24/lead_fields/further_parsing.py",
        'if "fm" not in item or rows is None:',
        'rows = rows or {}\n    if "fm" not in item:',
        (_FURTHER + "test_unreadable_rows_are_no_proof_that_a_lead_has_none",),
    ),
    Mutation(
        "a field that the portal refused to clear counts as cleared",
        "leadline/bitrix24/lead_fields/further_fields.py",
        " is not None or target in state.refused\n",
        " is not None\n",
        (_FURTHER + "test_a_value_that_could_not_be_written_or_cleared_stays_open",),
    ),
    Mutation(
        "an erasure leaves the personal data that a plan quotes",
        "migrations/versions/0017_first_match.py",
        "    UPDATE match_lines SET changes = NULL WHERE user_id = NEW.id;\n",
        "",
        (_FIRST_MATCH + "test_an_erasure_removes_the_person_from_plans",),
    ),
    Mutation(
        "a master that was replaced is used until it rejects a command",
        "leadline/runtime/redis.py",
        "if self.is_connected and not self.sentinels.watch(self.host, self.port):",
        "if False:",
        (_CLUSTERS + "test_clients_leave_a_replaced_master_before_it_rejects_writes",),
    ),
    Mutation(
        "a connection moves to another master within a transaction",
        "leadline/runtime/redis.py",
        "def connect(self) -> None:",
        "def check_health(self) -> None:",
        (_CLUSTERS + "test_a_transaction_that_watches_keys_stays_on_its_connection",),
    ),
    Mutation(
        "the doctor finds nothing wrong with two primaries",
        "leadline/cli/checks/nodes.py",
        "if len({node.server for node in primaries}) != 1:",
        "if not primaries:",
        (_CLUSTERS + "test_doctor_shows_two_primaries_and_none",),
    ),
    Mutation(
        "the hosts of a URL are split as Python does",
        "leadline/runtime/hosts.py",
        "match = _URL.fullmatch(url)",
        "match = _URL.fullmatch(urlsplit(url).geturl())",
        ("tests/unit/test_hosts.py::test_hosts_may_be_ipv6_addresses",),
    ),
)

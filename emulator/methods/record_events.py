"""Events of records that are not CRM objects: activities, comments, requisites, smart processes.

Documentation: crm/timeline/activities/events/, crm/timeline/comments/events/,
crm/requisites/events/, crm/universal/events/type/.
"""

from emulator.methods.call import Call

#: What the names of the events say of the record: ONCRM…ADD.
NAMES = ("ACTIVITY", "TIMELINECOMMENT", "REQUISITE", "BANKDETAIL", "TYPE")
EVENTS = tuple(f"ONCRM{name}{verb}" for name in NAMES for verb in ("ADD", "UPDATE", "DELETE"))


def send_record_event(call: Call, name: str, verb: str, record_id: int) -> None:
    """Send the event of a change to handlers and offline queues."""
    portal = call.portal
    event = f"ONCRM{name}{verb}"
    if portal.offline.add(event, record_id, call.application, portal.clock.wall()):
        portal.events.announce_offline_events(portal.settings)
    portal.events.send(event, record_id, portal.settings, call.user)

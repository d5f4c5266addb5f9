"""The effects of a committed write: events, and updates of the board."""

from emulator.entities.entity import Entity
from emulator.entities.store import Item
from emulator.entities.views import card
from emulator.portal import Portal
from emulator.writes.write import Write


def notify(portal: Portal, verb: str, entity: Entity, item: Item, write: Write) -> None:
    """Send a write's event (`verb`: ADD, UPDATE, DELETE) to handlers, queues and the board."""
    event = entity.event_name(verb)
    type_id = entity.type_id if entity.is_dynamic else 0
    if portal.offline.add(event, item.id, write.application, portal.clock.wall(), type_id):
        portal.events.announce_offline_events(portal.settings)
    portal.events.send(event, item.id, portal.settings, write.acting_user, type_id)
    if portal.stream.has_subscribers:
        portal.stream.send("write" if verb != "DELETE" else "delete", card(entity, item))

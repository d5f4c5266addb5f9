"""P4: requests never come faster than the portal accepts them."""

from collections import defaultdict
from collections.abc import Iterator

from tests.checker.history import History, PortalRequest, Rate, Violation

_TOLERANCE = 1e-6
#: How long delayed data keeps arriving after the network is free again.
_TAIL_S = 1.0

#: Start and end of the time in which a request may have been sent.
_SendingWindow = tuple[float, float]


def requests_stay_within_the_limit(history: History) -> Iterator[Violation]:
    """In every window one source sends at most the burst, and the rate times the window's length.

    Judged by the times of sending, or of arrival if those are unknown; a request delayed by a
    disturbed network counts only in windows in which it was certainly sent.
    """
    by_source: dict[str, list[_SendingWindow]] = defaultdict(list)
    for request in history.requests:
        if request.fate != "unsent":
            by_source[request.source].append(_sending_window(request, history))
    for source, sent in by_source.items():
        if (window := _first_excess(sorted(sent), history.rate)) is not None:
            begin, end, count = window
            what = f"{count} requests from {source} in {end - begin:.3f} s from {begin} on"
            yield Violation("rate", "P4", what)


def _sending_window(request: PortalRequest, history: History) -> _SendingWindow:
    if request.sent_at is not None:
        return request.sent_at, request.sent_at
    held_up = [
        begin for begin, end in history.injected.blurs if begin <= request.at <= end + _TAIL_S
    ]
    return min(held_up, default=request.at), request.at


def _first_excess(sent: list[_SendingWindow], rate: Rate) -> tuple[float, float, int] | None:
    """The first window with too many requests: start, end and their number."""
    if all(earliest == latest for earliest, latest in sent):
        return _overflow([moment for moment, _ in sent], rate)
    for begin in sorted({earliest for earliest, _ in sent}):
        ends = sorted(latest for earliest, latest in sent if earliest >= begin)
        for count, end in enumerate(ends, 1):
            if count > rate.burst + rate.per_s * (end - begin) + _TOLERANCE:
                return begin, end, count
    return None


def _overflow(moments: list[float], rate: Rate) -> tuple[float, float, int] | None:
    """The same for known times, by a leaky bucket: the window begins where it was last empty."""
    level, last, begin, count = 0.0, float("-inf"), 0.0, 0
    for moment in moments:
        level -= (moment - last) * rate.per_s
        if level <= 0:
            level, begin, count = 0.0, moment, 0
        level, last, count = level + 1, moment, count + 1
        if level > rate.burst + _TOLERANCE:
            return begin, moment, count
    return None


RULES = (requests_stay_within_the_limit,)

/*
 * One user on its way into the CRM, searched in every order in which the steps below can happen: `make model`.
 * Names are those of leadline/sync and leadline/ledger; README.md next to this file explains them.
 *
 * Time is not counted. What a deadline guarantees is a condition instead: a lease expires only when its worker
 * can begin no call any more and the call that it began has ended; wait_until is over when the lost create has
 * ended. Each #ifdef WITHOUT... takes out one rule; spin then finds how a promise breaks.
 */

/* Bounds. */
#ifndef WRITES
#define WRITES   3	/* of the client: A, B, and A again */
#endif
#ifndef LOSSES
#define LOSSES   1	/* of Redis' last second, or of all it knew */
#endif
#ifndef MESSAGES
#define MESSAGES 2	/* in bitrix_queue at once */
#endif
#define CALLS    2	/* on their way at once, lost ones among them */
#define VERSIONS (WRITES + 1)	/* the ledger adds one that has the lead looked at */

/* What the lead shows. */
#define NONE 0
#define A    1
#define B    2
#define letter(v) (64 + v)

/* A worker's state. */
#define IDLE     0
#define LEASED   1	/* it has a plan, and no call yet */
#define CALLING  2	/* it waits for the answer */
#define ENDED    3	/* it knows the outcome */
#define WRITTEN  4	/* and has written it down */
#define REPLIED  5	/* the reply is in the ledger, the lease still stands */
#define RELEASED 6	/* the lease has ended, the reply is with the broker */

/* Its plan: decide.py has Nothing for the first two and Write for the last two. */
#define REPLY   0	/* the answer is written down already, and was not sent */
#define NOTHING 1
#define LOOK_UP 2
#define CREATE  3
#define UPDATE  4

/* Who holds a lease, other than workers 1 and 2. */
#define FREE 0
#define DEAD 3

typedef Entry {			/* the user in the work queue */
  unsigned order : 3;		/* version of the desired state */
  unsigned agreed : 2;		/* last applied; in doubt it is a hint only, kept as NONE */
  unsigned agreed_order : 3;
  bit doubt;
  bit known_epoch;		/* its epoch is that of Redis */
  bit vouched;			/* in this epoch the ledger had nothing newer than what is pending */
  bit events;			/* some wait for their reply */
  unsigned answered : 3;	/* the fence of an answer that was not sent, or 0 */
  bit wait_until;		/* a create got no answer */
  unsigned running_order : 3;	/* an update of this version got no answer: running_until */
  unsigned look : 2;		/* 1: a message wants the lead looked at, 2: that is done */
  unsigned lessee : 2
}

typedef Worker {
  unsigned state : 3;
  unsigned plan : 3;
  unsigned order : 3;		/* of the desired state that it leased */
  unsigned fence : 3;
  bit in_time;			/* send_until has not passed */
  bit must_wait;		/* wait_until had not passed when it leased */
  bit looks;			/* the wish to look was there when it leased */
  unsigned result : 2		/* what a look-up has read; whether a write was answered */
}

typedef Call {			/* a create or an update that was sent */
  unsigned kind : 3;
  unsigned order : 3;
  unsigned waiter : 2;
  bit late			/* begun after send_until: no deadline covers it */
}

/* With -DCLOCK_AHEAD a sender's clock is so far ahead that a message from before a loss of Redis vouches for what is
 * pending: an older state may come last, and the ledger must notice.
 */

/* The ledger. */
byte value[VERSIONS + 1];	/* of each version */
unsigned writes : 2;
unsigned version : 3;		/* the newest one */
unsigned synced : 3;		/* the newest one that was answered */
unsigned look : 3;		/* the one that wants the lead looked at */
unsigned applied_fence : 3;

/* Version, whether it is the first delivery of a new user, the epoch of Redis in which it was sent. */
chan bitrix_queue = [MESSAGES] of { byte, bool, byte };

/* Redis. Its epoch is the number of its losses. */
Entry entry, saved;
bit is_saved;
unsigned losses : 2;

Worker worker[3];

/* The portal. */
Call call[CALLS];
unsigned leads : 2;
unsigned lead : 2;

/* With -DCALM faults stop at some moment, and each version must be answered then. */
#ifdef CALM
bit is_calm;
#else
#define is_calm false
#endif

/* Fences grow by the clock. Only their order matters, so numbers that are not in use are closed up. */

#define is_used(f) (applied_fence == f || worker[1].fence == f || worker[2].fence == f || \
                    entry.answered == f || saved.answered == f)
#define lower(fence, f) if :: fence > f -> fence-- :: else fi
#define close_gap(f) if \
  :: is_used(f) \
  :: else -> lower(applied_fence, f); lower(worker[1].fence, f); lower(worker[2].fence, f); \
             lower(entry.answered, f); lower(saved.answered, f) \
  fi
#define NEXT_FENCE 7

inline close_gaps() { close_gap(6); close_gap(5); close_gap(4); close_gap(3); close_gap(2); close_gap(1) }

/* Deadlines. */

#define runs(c) (call[c].kind && !call[c].late)
#define a_call_runs (runs(0) || runs(1))
#define a_create_runs (runs(0) && call[0].kind == CREATE || runs(1) && call[1].kind == CREATE)
#define an_update_runs (runs(0) && call[0].kind == UPDATE || runs(1) && call[1].kind == UPDATE)
#define may_begin(w) (worker[w].state == LEASED && worker[w].in_time)

/* lease_ms is longer than SEND_WITHIN_S and call_ms; of a lease that an older copy names nothing is certain. */
#define may_expire (entry.lessee != FREE && (!entry.known_epoch || \
                    !a_call_runs && (entry.lessee == DEAD || !may_begin(entry.lessee))))
#define is_abandoned (entry.lessee == DEAD || worker[entry.lessee].state == IDLE || worker[entry.lessee].state == RELEASED)

/* began + call_ms has passed. */
#ifdef WITHOUT_EPOCH_WAIT
#define forgotten_calls_are_over true
#else
#define forgotten_calls_are_over (!a_call_runs && !may_begin(1) && !may_begin(2))
#endif

#define is_newer_than_running (entry.running_order && entry.order > entry.running_order)
#ifdef WITHOUT_RUNNING_UNTIL
#define is_blocked false
#else
#define is_blocked (is_newer_than_running && an_update_runs)
#endif

#ifdef WITHOUT_FENCE
#define is_ours(w) (entry.lessee != FREE)
#else
#define is_ours(w) (entry.lessee == w)
#endif

/* The client and the ledger. */

#define is_open(v) (v <= version && v > synced)

/* settle.py: an older state was written over a newer one. The code asks each time, this once for all. */
inline ask_again() {
#ifdef WITHOUT_OVERWRITES
  skip
#else
  if
  :: look && is_open(look)
  :: else ->
     assert(version < VERSIONS && !look);	/* the bound suffices */
     version++;
     value[version] = value[version - 1];
     look = version;
     printf("ledger: an older state was written last, version %d has the lead looked at\n", version)
  fi
#endif
}

/* ledger/settle_sql.py: SETTLE, _OVERWRITES */
inline settle_in_ledger(w) {
  printf("ledger: version %d is synced, fence %d\n", worker[w].order, worker[w].fence);
  if
  :: worker[w].order < synced && worker[w].fence > applied_fence -> ask_again()
  :: worker[w].order > synced && worker[w].fence < applied_fence && worker[w].order != look -> ask_again()
  :: else
  fi;
  if
#ifdef WITHOUT_FENCE_OF_REPEATED
  :: worker[w].fence > applied_fence && worker[w].order > synced -> applied_fence = worker[w].fence
#else
  :: worker[w].fence > applied_fence -> applied_fence = worker[w].fence
#endif
  :: else
  fi;
  if :: worker[w].order > synced -> synced = worker[w].order :: else fi
}

active proctype client() {
  do
  :: d_step { writes < WRITES ->
       writes++;
       version++;
       value[version] = (writes == 2 -> B : A);
       printf("client: writes version %d, %c\n", version, letter(value[version]));
       if
       :: nfull(bitrix_queue) -> bitrix_queue!!version, (version == 1), losses
       :: full(bitrix_queue) -> printf("broker: does not confirm it\n")
       fi
     }
  :: writes == WRITES -> break
  od
}

#define is_sent (bitrix_queue??[eval(version), true, eval(losses)] || bitrix_queue??[eval(version), false, eval(losses)])

#ifdef WITHOUT_VOUCHING
#define may_be_applied true
#else
#define may_be_applied entry.vouched
#endif

/* relay.py: the newest version, if it is open and does not wait in the work queue. */
active proctype relay() {
end:
  do
#ifndef WITHOUT_RELAY
  :: d_step { is_open(version) && !is_sent && !(entry.events && entry.order == version && may_be_applied) && nfull(bitrix_queue) ->
       bitrix_queue!!version, false, losses;
       printf("relay: sends version %d again\n", version)
     }
#else
  :: false
#endif
  od
}

/* Into the work queue. */

/* lua/put.lua */
inline put(v, is_first, sent) {
  if
#if defined(WITHOUT_VOUCHING) || defined(CLOCK_AHEAD)
  :: sent < losses && entry.order == 0 -> printf("put: version %d was sent before this epoch\n", v)
#else
  :: sent < losses && !entry.vouched -> printf("put: version %d was sent before this epoch\n", v)
#endif
  :: else ->
     printf("put: version %d\n", v);
     if
#ifdef WITHOUT_FIRST_DELIVERY
     :: entry.order == 0 && sent == losses -> entry.known_epoch = 1
#else
     :: is_first && sent == losses -> entry.known_epoch = 1
#endif
     :: else
     fi;
     if :: v > entry.order -> entry.order = v; entry.answered = 0; close_gaps() :: else fi;
     if :: v == look && entry.look == 0 -> entry.look = 1 :: else fi;
     entry.vouched = 1;
     entry.events = 1
  fi
}

#define receive(v, is_first) bitrix_queue??eval(v), eval(is_first), sent
#define is_waiting(v, is_first) (bitrix_queue??[eval(v), eval(is_first), 0] || bitrix_queue??[eval(v), eval(is_first), 1])
#define deliver(v, is_first) d_step { receive(v, is_first) -> put(v, is_first, sent); sent = 0 }
#define lose(v, is_first) d_step { !is_calm && is_waiting(v, is_first) -> receive(v, is_first); sent = 0; printf("broker: loses version %d\n", v) }

active proctype connector() {
  byte sent;
end:
  do
  :: deliver(1, true)
  :: deliver(1, false)
  :: deliver(2, false)
  :: deliver(3, false)
  :: deliver(4, false)
  :: lose(1, true)
  :: lose(1, false)
  :: lose(2, false)
  :: lose(3, false)
  :: lose(4, false)
     /* Killed before it has put the message, or after it: delivered again. */
  :: d_step { receive(1, true) -> bitrix_queue!!1, false, sent; sent = 0; printf("connector: is killed\n") }
  :: d_step { receive(1, true) -> bitrix_queue!!1, false, sent; put(1, true, sent); sent = 0; printf("connector: is killed\n") }
  od
}

/* Redis. */

inline raise_doubt() { entry.doubt = 1; entry.agreed = NONE; entry.agreed_order = 0 }

/* decide.py: plan */
inline decide(w) {
  if
  :: entry.answered -> worker[w].plan = REPLY; worker[w].fence = entry.answered
#ifdef WITHOUT_LOOK_UP
  :: !entry.answered && worker[w].looks -> worker[w].plan = LOOK_UP
#else
  :: !entry.answered && (entry.doubt || worker[w].looks) -> worker[w].plan = LOOK_UP
#endif
  :: else ->
     if
     :: entry.agreed == NONE -> worker[w].plan = CREATE
     :: entry.agreed != NONE && entry.agreed_order < entry.order && entry.agreed != value[entry.order] -> worker[w].plan = UPDATE
     :: else -> worker[w].plan = NOTHING
     fi
  fi;
  if
  :: worker[w].plan == REPLY -> printf("worker %d: leases version %d, to reply\n", w, entry.order)
  :: worker[w].plan == NOTHING -> printf("worker %d: leases version %d, nothing to do\n", w, entry.order)
  :: worker[w].plan == LOOK_UP -> printf("worker %d: leases version %d, to look up\n", w, entry.order)
  :: worker[w].plan == CREATE -> printf("worker %d: leases version %d, to create\n", w, entry.order)
  :: worker[w].plan == UPDATE -> printf("worker %d: leases version %d, to update\n", w, entry.order)
  fi
}

/* lua/lease.lua: prepare_lease, lease */
inline lease(w) {
  if
  :: !entry.known_epoch ->
     entry.known_epoch = 1;
#ifdef WITHOUT_EPOCH_MARK
     if :: entry.agreed == NONE -> raise_doubt() :: else fi
#else
     raise_doubt()
#endif
  :: else
  fi;
  if
  :: is_newer_than_running ->
     entry.running_order = 0;
#ifndef WITHOUT_DOUBT_AFTER_RUNNING_UNTIL
     raise_doubt()
#endif
  :: else
  fi;
  entry.lessee = w;
  worker[w].state = LEASED;
  worker[w].order = entry.order;
  worker[w].fence = NEXT_FENCE;
  worker[w].in_time = 1;
  worker[w].looks = (entry.look == 1);
#ifndef WITHOUT_WAIT_UNTIL
  worker[w].must_wait = entry.wait_until && a_create_runs;
#endif
  decide(w);
  if :: worker[w].plan <= NOTHING -> worker[w].state = ENDED; worker[w].in_time = 0 :: else fi;
  close_gaps()
}

/* lua/lease.lua: expired */
inline expire() {
#ifdef WITHOUT_DOUBT_AFTER_LOST_LEASE
  if :: entry.agreed == NONE -> raise_doubt() :: else fi;
#else
  raise_doubt();
#endif
  entry.lessee = FREE;
  printf("redis: the lease expires\n")
}

/* lua/settle.lua: release */
inline release(w, are_events_left) {
  if
  :: is_ours(w) ->
     entry.lessee = FREE;
     entry.events = are_events_left;
     if :: !are_events_left -> entry.answered = 0 :: else fi
  :: else
  fi
}

inline copy(to, from) {
  to.order = from.order; to.agreed = from.agreed; to.agreed_order = from.agreed_order; to.doubt = from.doubt;
  to.events = from.events; to.answered = from.answered; to.wait_until = from.wait_until;
  to.running_order = from.running_order; to.look = from.look; to.lessee = from.lessee
}

inline save() {
  copy(saved, entry);
  is_saved = 1;
#if !defined(WITHOUT_EPOCH_MARK) && !defined(WITHOUT_EPOCH_WAIT)
  /* Another epoch neither believes nor needs these. */
  saved.agreed = NONE; saved.agreed_order = 0; saved.doubt = 1; saved.wait_until = 0; saved.running_order = 0;
#endif
  printf("redis: its memory is on disk\n")
}

/* Back to what was on disk, or to nothing. */
inline start_again() {
  copy(entry, saved);
  entry.known_epoch = 0;
  entry.vouched = 0;
  saved.order = 0; saved.agreed = NONE; saved.agreed_order = 0; saved.doubt = 0; saved.events = 0; saved.answered = 0;
  saved.wait_until = 0; saved.running_order = 0; saved.look = 0; saved.lessee = FREE;
  is_saved = 0;
  losses++;
  close_gaps();
  printf("redis: starts again with version %d\n", entry.order)
}

active proctype redis() {
end:
  do
  :: d_step { may_expire && (!is_calm || is_abandoned) -> expire() }
  :: d_step { !is_calm && losses < LOSSES && version && !is_saved -> save() }
  :: d_step { !is_calm && losses < LOSSES && version -> start_again() }
  od
}

/* The worker: call.py. */

inline go_idle(w) {
  if :: saved.lessee == w -> saved.lessee = DEAD :: else fi;
  worker[w].state = IDLE; worker[w].plan = 0; worker[w].order = 0; worker[w].fence = 0; worker[w].in_time = 0;
  worker[w].must_wait = 0; worker[w].looks = 0; worker[w].result = 0;
  close_gaps()
}

inline begin(w, c) {
  call[c].kind = worker[w].plan;
  call[c].order = worker[w].order;
  call[c].waiter = w;
  call[c].late = !worker[w].in_time;
  worker[w].state = CALLING;
  worker[w].in_time = 0;
  printf("worker %d: its call begins\n", w)
}

inline read(w) {
  worker[w].result = lead;
  worker[w].state = ENDED;
  worker[w].in_time = 0;
  if
  :: lead -> printf("worker %d: reads %c\n", w, letter(lead))
  :: else -> printf("worker %d: finds no lead\n", w)
  fi
}

inline wait_no_longer(w) {
  if
  :: call[0].waiter == w -> call[0].waiter = 0
  :: call[1].waiter == w -> call[1].waiter = 0
  :: else
  fi
}

/* decide.py: settle_applied, settle_lookup, settle_failure */
inline write_down(w) {
  if
  :: !is_ours(w) -> printf("worker %d: has lost its lease\n", w); go_idle(w)
  :: else ->
     if
     :: worker[w].plan == REPLY -> worker[w].state = WRITTEN
     :: worker[w].plan == NOTHING || worker[w].plan >= CREATE && worker[w].result ->
        if :: worker[w].plan >= CREATE -> entry.agreed = value[worker[w].order] :: else fi;
        entry.agreed_order = worker[w].order;
        entry.doubt = 0;
        entry.wait_until = 0;
        if :: entry.order == worker[w].order -> entry.answered = worker[w].fence :: else fi;
        worker[w].state = WRITTEN; worker[w].plan = 0; worker[w].result = 0; worker[w].must_wait = 0; worker[w].looks = 0;
        printf("worker %d: writes down %c\n", w, letter(entry.agreed))
     :: worker[w].plan == LOOK_UP ->
        if
        :: worker[w].result || !worker[w].must_wait ->
           entry.agreed = worker[w].result;
           entry.agreed_order = 0;
           entry.doubt = 0;
           entry.wait_until = 0;
           if :: worker[w].looks -> entry.look = 2 :: else fi;
           printf("worker %d: writes down what it has found\n", w)
        :: else -> printf("worker %d: will look again\n", w)
        fi;
        release(w, true);
        go_idle(w)
     :: else ->
        raise_doubt();
        if
        :: worker[w].plan == CREATE -> entry.wait_until = 1
        :: else -> entry.running_order = worker[w].order
        fi;
        printf("worker %d: writes down that the outcome is unknown\n", w);
        release(w, true);
        go_idle(w)
     fi
  fi
}

/* LOOKUP_RETRY_MS: in calm a look-up waits for the lost create, or it might be repeated without end. */
#define looks_too_early (is_calm && entry.wait_until && a_create_runs)
#define is_due (entry.events && may_be_applied && entry.lessee == FREE && !is_blocked && !looks_too_early && \
                (entry.known_epoch || forgotten_calls_are_over))
#define has_place(c) (call[c].kind == 0 && (c == 0 || call[0].kind))
#ifdef WITHOUT_SEND_UNTIL
#define is_allowed(w) (worker[w].state == LEASED)
#else
#define is_allowed(w) may_begin(w)
#endif

#define me (_pid - 3)	/* 1 and 2: processes are numbered in the order of this file */

active [2] proctype work() {
end:
  do
     /* Idle workers are alike: the second one leases only while the first is busy. */
  :: d_step { worker[me].state == IDLE && is_due && (me == 1 || worker[1].state != IDLE) -> lease(me) }
#ifdef WITHOUT_SEND_UNTIL
  :: d_step { may_begin(me) -> worker[me].in_time = 0; printf("worker %d: is slow\n", me) }
#endif
  :: d_step { is_allowed(me) && worker[me].plan >= CREATE && has_place(0) -> begin(me, 0) }
  :: d_step { is_allowed(me) && worker[me].plan >= CREATE && has_place(1) -> begin(me, 1) }
  :: d_step { is_allowed(me) && worker[me].plan == LOOK_UP -> read(me) }
     /* Too late, no budget, or refused: nothing was sent. */
  :: d_step { !is_calm && worker[me].state == LEASED -> release(me, true); go_idle(me); printf("worker %d: defers\n", me) }
  :: d_step { !is_calm && worker[me].state == CALLING -> wait_no_longer(me); worker[me].state = ENDED; printf("worker %d: gets no answer\n", me) }
  :: d_step { worker[me].state == ENDED -> write_down(me) }
     /* The ledger has the reply before the lease ends, or after it. */
  :: d_step { worker[me].state == WRITTEN -> settle_in_ledger(me); worker[me].state = REPLIED }
  :: d_step { worker[me].state == REPLIED -> release(me, entry.order > worker[me].order); go_idle(me) }
  :: d_step { worker[me].state == WRITTEN -> release(me, entry.order > worker[me].order); worker[me].state = RELEASED }
  :: d_step { worker[me].state == RELEASED -> settle_in_ledger(me); go_idle(me) }
  :: d_step { !is_calm && worker[me].state != IDLE && worker[me].state != RELEASED ->
       wait_no_longer(me);
       if :: entry.lessee == me -> entry.lessee = DEAD :: else fi;
       go_idle(me);
       printf("worker %d: is killed\n", me)
     }
  od
}

/* The portal. */

inline move_call(to, from) {
  call[to].kind = call[from].kind; call[to].order = call[from].order;
  call[to].waiter = call[from].waiter; call[to].late = call[from].late
}

inline end_call(c) {
  /* Calls are alike: the first place is filled first. */
  if :: c == 0 -> move_call(0, 1) :: else fi;
  call[1].kind = 0; call[1].order = 0; call[1].waiter = 0; call[1].late = 0
}

inline land(c) {
  if
  :: call[c].kind == CREATE -> leads++; assert(leads <= 1)	/* P2 */
  :: else
  fi;
#ifndef CLOCK_AHEAD
  assert(call[c].order >= synced);	/* no older state comes after a newer one was answered */
#endif
  lead = value[call[c].order];
  printf("portal: the call of version %d lands, the lead is %c\n", call[c].order, letter(lead));
  if
  :: call[c].waiter -> worker[call[c].waiter].result = 1; worker[call[c].waiter].state = ENDED
  :: else
  fi;
  end_call(c)
}

#define vanish(c) d_step { !is_calm && call[c].kind && !call[c].waiter -> end_call(c); printf("portal: a call never comes\n") }

active proctype portal() {
end:
  do
  :: d_step { call[0].kind -> land(0) }
  :: d_step { call[1].kind -> land(1) }
  :: vanish(0)
  :: vanish(1)
  od
}

/* The promises. */

#define is_settled (version && synced == version && len(bitrix_queue) == 0 && !(entry.events && may_be_applied) && \
                    entry.lessee == FREE && worker[1].state == IDLE && worker[2].state == IDLE && !call[0].kind)
#define is_in_sync (leads == 1 && lead == value[version])

#ifdef CALM
active proctype promises() {
  is_calm = 1
}

ltl P1 { [] (is_calm && writes == WRITES -> <> (synced == version)) }
#else
active proctype promises() {
end:
  do
  :: is_settled && !is_in_sync -> assert(is_in_sync)	/* P3 */
  :: timeout && synced != version -> assert(synced == version)	/* P1 */
  od
}
#endif

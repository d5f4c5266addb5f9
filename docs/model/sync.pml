/*
 * One user on its way into the CRM: the rules of leadline/sync and leadline/ledger that keep its lead right,
 * against killed workers, lost answers, calls that land late, and a Redis that loses its last second.
 * README.md explains it. `make model` searches every order in which these steps can happen.
 *
 * Time is not counted. What a deadline promises is a condition instead: a lease expires when its worker
 * cannot begin a call any more and the call that it began has ended.
 */

/* Bounds. */
#ifndef WRITES
#define WRITES   3	/* of the user: A, B, and A again */
#endif
#ifndef LOSSES
#define LOSSES   1	/* of Redis' last second, or of all it knew */
#endif
#define CALLS    2	/* that run on the portal at once */
#define MESSAGES 2	/* in the broker at once */
#define VERSIONS (WRITES + 1)	/* the ledger adds one that has the lead looked at */

/* Values of the lead. */
#define NONE 0
#define A    1
#define B    2

/* What a worker is at. */
#define IDLE     0
#define LEASED   1	/* it has a plan, its call has not begun */
#define CALLING  2	/* it waits for the answer */
#define ENDED    3	/* it knows the outcome */
#define WRITTEN  4	/* last applied is written down, the reply is not sent */
#define REPLIED  5	/* the reply is in the ledger, the lease still stands */
#define RELEASED 6	/* the lease has ended, the broker has the reply */

/* plan.py: Nothing, LookUp, Write. */
#define REPLY   0	/* Nothing: the answer is there already */
#define NOTHING 1	/* the lead is as it should be */
#define LOOK_UP 2
#define CREATE  3
#define UPDATE  4

/* Who holds a lease, beside workers 1 and 2. */
#define FREE   0
#define ORPHAN 3	/* a worker that was killed, or whose lease had expired before Redis went back */

typedef Entry {			/* the user in the work queue: entry.py, lua/ */
  unsigned order : 3;		/* version of the desired state */
  unsigned applied_order : 3;
  unsigned last_applied : 2;	/* NONE in doubt: then it only is a hint for the look-up */
  bit doubt;
  bit whole;			/* its epoch mark is Redis' epoch */
  bit events;			/* some wait for their answer */
  unsigned answered : 3;	/* fence of an answer that is written down and not sent, or 0 */
  bit wait_until;		/* an unanswered create: over when that call has ended */
  unsigned running_order : 3;	/* running_until of an unanswered update of this version */
  unsigned look : 2;		/* 1: a message wants the lead looked at, 2: done */
  unsigned lessee : 2;
  bit written			/* the result of this lease is written down */
}

typedef Worker {
  unsigned at : 3;
  unsigned plan : 3;
  unsigned order : 3;		/* of the desired state when it leased */
  unsigned result : 2;		/* of a look-up the value, of a write whether it was answered */
  bit in_time;			/* less than SEND_WITHIN_S since its lease */
  bit waits;			/* wait_until was not over when it leased */
  bit looks;			/* the wish to look was there when it leased */
  unsigned fence : 3
}

typedef Call {			/* a create or update that was sent */
  unsigned kind : 3;
  unsigned order : 3;
  unsigned waiter : 2;
  bit late			/* begun when the lease may have ended: no deadline covers it */
}

/* The ledger. */
byte value[VERSIONS + 1];	/* of each version */
unsigned writes : 2;
unsigned version : 3;
unsigned synced : 3;		/* the newest version that was answered */
unsigned look : 3;		/* the version that wants the lead looked at */
unsigned applied_fence : 3;	/* the greatest fence of an answer */

/* Version, whether it is the first delivery of a new user, epoch in which it was sent. Sorted, since any may be next. */
chan bitrix_queue = [MESSAGES] of { byte, bool, byte };

/* Redis. */
Entry entry, saved;
bit is_saved;
unsigned losses : 2;

Worker worker[3];

/* The portal. */
Call call[CALLS];
unsigned leads : 2;
unsigned lead : 2;

/* Fences grow with the clock. Only their order matters: 1 + the number of smaller ones in use. */
#define is_used(f) (applied_fence == f || worker[1].fence == f || worker[2].fence == f \
                    || entry.answered == f || saved.answered == f)
#define lower(it, f) if :: it > f -> it-- :: else fi
#define close_gap(f) if :: is_used(f) :: else -> lower(applied_fence, f); lower(worker[1].fence, f); \
                        lower(worker[2].fence, f); lower(entry.answered, f); lower(saved.answered, f) fi

inline close_gaps() { close_gap(6); close_gap(5); close_gap(4); close_gap(3); close_gap(2); close_gap(1) }

/* Calls and deadlines. */

#define runs(c)       (call[c].kind && !call[c].late)
#define a_call_runs   (runs(0) || runs(1))
#define a_create_runs (runs(0) && call[0].kind == CREATE || runs(1) && call[1].kind == CREATE)
#define an_update_runs (runs(0) && call[0].kind == UPDATE || runs(1) && call[1].kind == UPDATE)
#define may_begin(w)  (worker[w].at == LEASED && worker[w].in_time)

/* The lease outlives the call. After Redis has gone back nothing is known of a lease's calls. */
#define may_expire    (entry.lessee != FREE && (!entry.whole || !a_call_runs && \
                       (entry.lessee == ORPHAN || !may_begin(entry.lessee))))

#ifdef WITHOUT_EPOCH_WAIT
#define lost_calls_are_over true
#else
#define lost_calls_are_over (!a_call_runs && !may_begin(1) && !may_begin(2))
#endif

#ifdef WITHOUT_RUNNING_UNTIL
#define is_blocked    false
#else
#define is_blocked    (entry.running_order && entry.order > entry.running_order && an_update_runs)
#endif

#ifdef WITHOUT_FENCE
#define owns(w)       (entry.lessee != FREE)
#else
#define owns(w)       (entry.lessee == w)
#endif

/* The user and the ledger. */

#define is_open(v) (v <= version && v > synced)

/* again.py: an older state was written over a newer one. The code asks each time, this only while none waits. */
inline ask_again() {
#ifndef WITHOUT_OVERWRITES
  if
  :: look && is_open(look)
  :: else ->
     assert(version < VERSIONS && !look);	/* else the bound is too small */
     version++;
     value[version] = value[version - 1];
     look = version;
     printf("ledger: an older state was written last: version %d looks at the lead\n", version)
  fi
#endif
}

/* outcomes.py, apply; statements.py, SETTLE and _OVERWRITES. */
inline settle(w) {
  printf("ledger: version %d is answered, fence %d\n", worker[w].order, worker[w].fence);
  if
  :: worker[w].order < synced && worker[w].fence > applied_fence -> ask_again()
  :: worker[w].order > synced && worker[w].fence < applied_fence && worker[w].order != look -> ask_again()
  :: else
  fi;
  if
#ifdef WITHOUT_FENCE_OF_REPEATED
  :: worker[w].order > synced && worker[w].fence > applied_fence -> applied_fence = worker[w].fence
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
       writes++; version++;
       value[version] = (writes == 2 -> B : A);
       printf("client: writes version %d, value %d\n", version, value[version]);
       if
       :: nfull(bitrix_queue) -> bitrix_queue!!version, (version == 1), losses
       :: full(bitrix_queue) -> printf("publisher: no confirm\n")
       fi
     }
  :: writes == WRITES -> break
  od
}

#define is_sent (bitrix_queue??[eval(version), false, eval(losses)] || bitrix_queue??[eval(version), true, eval(losses)])

/* relay.py: the newest version, if it is open and does not wait in the work queue. */
active proctype relay() {
end:
  do
  :: d_step { is_open(version) && !is_sent && !(entry.events && entry.order == version) && nfull(bitrix_queue) ->
       bitrix_queue!!version, false, losses;
       printf("relay: sends version %d\n", version)
     }
  od
}

/* The way into the work queue. */

/* lua/put.lua */
inline put(v, is_first, sent) {
  if
  :: sent < losses && entry.order == 0 -> printf("put: version %d is older than Redis' memory\n", v)
  :: else ->
     printf("put: version %d\n", v);
     /* Never delivered before, and sent in this epoch: nothing of this user can be forgotten. */
#ifdef WITHOUT_FIRST_DELIVERY
     if :: entry.order == 0 && sent == losses -> entry.whole = 1 :: else fi;
#else
     if :: v == 1 && is_first && sent == losses -> entry.whole = 1 :: else fi;
#endif
     if :: v > entry.order -> entry.order = v; entry.answered = 0; close_gaps() :: else fi;
     if :: v == look && entry.look == 0 -> entry.look = 1 :: else fi;
     entry.events = 1
  fi
}

#define receive(v, is_first) bitrix_queue??eval(v), eval(is_first), sent
#define deliver(v, is_first) d_step { receive(v, is_first) -> put(v, is_first, sent); sent = 0 }
#define lose(v, is_first) d_step { receive(v, is_first) -> sent = 0; printf("broker: loses version %d\n", v) }

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
     /* Killed before it has put the message, or after it. */
  :: d_step { receive(1, true) -> bitrix_queue!!1, false, sent; sent = 0; printf("connector: no ack\n") }
  :: d_step { receive(1, true) -> bitrix_queue!!1, false, sent; put(1, true, sent); sent = 0; printf("connector: no ack\n") }
  od
}

/* Redis. */

inline raise_doubt() { entry.doubt = 1; entry.last_applied = NONE; entry.applied_order = 0 }

/* plan.py, plan */
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
     :: entry.last_applied == NONE -> worker[w].plan = CREATE
     :: entry.last_applied != NONE && entry.applied_order < entry.order &&
        entry.last_applied != value[entry.order] -> worker[w].plan = UPDATE
     :: else -> worker[w].plan = NOTHING
     fi
  fi
}

/* lua/lease.lua */
inline lease(w) {
  if
  :: !entry.whole ->
     entry.whole = 1;
#ifndef WITHOUT_EPOCH_MARK
     raise_doubt()
#endif
  :: else
  fi;
  if
  :: entry.running_order && entry.order > entry.running_order ->
     entry.running_order = 0;	/* it is over, see is_blocked */
#ifndef WITHOUT_DOUBT_AFTER_RUNNING_UNTIL
     raise_doubt()		/* what was read meanwhile may be overwritten */
#endif
  :: else
  fi;
  entry.lessee = w;
  entry.written = 0;
  worker[w].at = LEASED;
  worker[w].in_time = 1;
  worker[w].fence = 7; close_gaps();
  worker[w].order = entry.order;
#ifndef WITHOUT_WAIT_UNTIL
  worker[w].waits = entry.wait_until && a_create_runs;
#endif
  worker[w].looks = (entry.look == 1);
  decide(w);
  if :: worker[w].plan <= NOTHING -> worker[w].at = ENDED; worker[w].in_time = 0 :: else fi;
  printf("worker %d: leases version %d, plan %d\n", w, worker[w].order, worker[w].plan)
}

/* lua/lease.lua, expired */
inline expire() {
  printf("redis: lease of %d expires\n", entry.lessee);
#ifdef WITHOUT_DOUBT_AFTER_LOST_LEASE
  if :: !entry.written && entry.last_applied == NONE -> raise_doubt() :: else fi;
#else
  if :: !entry.written -> raise_doubt() :: else fi;
#endif
  if :: saved.lessee == entry.lessee -> saved.lessee = ORPHAN :: else fi;
  entry.lessee = FREE;
  entry.written = 0
}

inline copy(to, from) {
  to.order = from.order; to.applied_order = from.applied_order; to.last_applied = from.last_applied;
  to.doubt = from.doubt; to.events = from.events; to.answered = from.answered; to.wait_until = from.wait_until;
  to.running_order = from.running_order; to.look = from.look; to.lessee = from.lessee; to.written = from.written
}

inline forget(it) {
  it.order = 0; it.applied_order = 0; it.last_applied = NONE; it.doubt = 0; it.events = 0; it.answered = 0; it.wait_until = 0;
  it.running_order = 0; it.look = 0; it.lessee = FREE; it.written = 0
}

active proctype redis() {
end:
  do
  :: d_step { may_expire -> expire() }
  :: d_step { losses < LOSSES && !is_saved && version -> copy(saved, entry); is_saved = 1;
#if !defined(WITHOUT_EPOCH_MARK) && !defined(WITHOUT_EPOCH_WAIT)
       saved.last_applied = NONE; saved.applied_order = 0; saved.doubt = 1;
       saved.wait_until = 0; saved.running_order = 0; saved.written = 0;
#endif
 printf("redis: is on disk\n") }
     /* Back to what was on disk, or to nothing. Not one message says when it was put. */
  :: d_step { losses < LOSSES && version ->
       losses++;
       copy(entry, saved); close_gaps();
       entry.whole = 0;
       forget(saved);
       is_saved = 0;
       printf("redis: starts again with version %d, last applied %d\n", entry.order, entry.last_applied)
     }
  od
}

/* The worker: call.py. */

inline go_idle(w) {
  if :: saved.lessee == w -> saved.lessee = ORPHAN :: else fi;
  worker[w].at = IDLE; worker[w].plan = 0; worker[w].order = 0; worker[w].result = 0; worker[w].in_time = 0;
  worker[w].waits = 0; worker[w].looks = 0; worker[w].fence = 0;
  close_gaps()
}

inline begin(w, c) {
  call[c].kind = worker[w].plan; call[c].order = worker[w].order; call[c].waiter = w;
  call[c].late = !worker[w].in_time;
  worker[w].at = CALLING; worker[w].in_time = 0;
  printf("worker %d: its call begins\n", w)
}

inline wait_no_more(w) {
  if
  :: call[0].waiter == w -> call[0].waiter = 0
  :: call[1].waiter == w -> call[1].waiter = 0
  :: else
  fi
}

/* lua/settle.lua, release */
inline release(w, events_left) {
  if
  :: owns(w) -> entry.lessee = FREE; entry.written = 0; entry.events = events_left;
     if :: !events_left -> entry.answered = 0 :: else fi
  :: else
  fi
}

/* plan.py: applied, looked_up, failed; lua/settle.lua */
inline write_down(w) {
  if
  :: !owns(w) -> printf("worker %d: has lost its lease\n", w); go_idle(w)
  :: else ->
     if
     :: worker[w].plan == REPLY -> worker[w].at = WRITTEN
     :: worker[w].plan == NOTHING || worker[w].plan >= CREATE && worker[w].result ->
        if :: worker[w].plan != NOTHING -> entry.last_applied = value[worker[w].order] :: else fi;
        entry.applied_order = worker[w].order; entry.doubt = 0; entry.wait_until = 0;
        entry.written = 1;
        if :: entry.order == worker[w].order -> entry.answered = worker[w].fence :: else fi;
        worker[w].at = WRITTEN; worker[w].plan = 0; worker[w].result = 0;
        worker[w].waits = 0; worker[w].looks = 0;
        printf("worker %d: writes down last applied %d\n", w, entry.last_applied)
     :: worker[w].plan == LOOK_UP ->
        if
        :: worker[w].result || !worker[w].waits ->
           entry.last_applied = worker[w].result; entry.applied_order = 0;
           entry.doubt = 0; entry.wait_until = 0;
           if :: worker[w].looks -> entry.look = 2 :: else fi;
           printf("worker %d: has found %d\n", w, entry.last_applied)
        :: else -> printf("worker %d: has found nothing yet\n", w)
        fi;
        release(w, true);
        go_idle(w)
     :: else ->
        if
        :: worker[w].plan == CREATE -> entry.wait_until = 1
        :: else -> entry.running_order = worker[w].order
        fi;
        raise_doubt();
        printf("worker %d: outcome unknown\n", w);
        release(w, true);
        go_idle(w)
     fi
  fi
}

#define begins(w, c) (worker[w].plan >= CREATE && call[c].kind == 0 && (c == 0 || call[0].kind))
#ifdef WITHOUT_SEND_UNTIL
#define is_allowed(w) (worker[w].at == LEASED)
#else
#define is_allowed(w) may_begin(w)
#endif

#define me (_pid - 3)	/* 1 or 2: the processes are numbered as they stand here */

active [2] proctype work() {
end:
  do
     /* Idle workers are alike: the second one leases only while the first is at work. */
  :: d_step { worker[me].at == IDLE && (me == 1 || worker[1].at != IDLE) &&
              entry.events && entry.lessee == FREE && (entry.whole || lost_calls_are_over) && !is_blocked -> lease(me) }
#ifdef WITHOUT_DOUBT_AFTER_RUNNING_UNTIL
     /* Raised only if somebody wanted to lease the user meanwhile. */
  :: d_step { worker[me].at == IDLE && entry.events && entry.lessee == FREE && entry.whole && is_blocked && !entry.doubt -> raise_doubt() }
#endif
#ifdef WITHOUT_SEND_UNTIL
  :: d_step { may_begin(me) -> worker[me].in_time = 0; printf("worker %d: is slow\n", me) }
#endif
  :: d_step { is_allowed(me) && begins(me, 0) -> begin(me, 0) }
  :: d_step { is_allowed(me) && begins(me, 1) -> begin(me, 1) }
  :: d_step { is_allowed(me) && worker[me].plan == LOOK_UP ->
              worker[me].result = lead; worker[me].in_time = 0; worker[me].at = ENDED; printf("worker %d: reads %d\n", me, lead) }
     /* Too late, no token, or a call that ran nothing. */
  :: d_step { worker[me].at == LEASED && worker[me].plan >= LOOK_UP -> release(me, true); go_idle(me); printf("worker %d: defers\n", me) }
  :: d_step { worker[me].at == CALLING -> wait_no_more(me); worker[me].at = ENDED; printf("worker %d: gets no answer\n", me) }
  :: d_step { worker[me].at == ENDED -> write_down(me) }
     /* The ledger has the reply before the lease ends, or after it. */
  :: d_step { worker[me].at == WRITTEN -> settle(me); worker[me].at = REPLIED }
  :: d_step { worker[me].at == REPLIED -> release(me, entry.order > worker[me].order); go_idle(me) }
  :: d_step { worker[me].at == WRITTEN -> release(me, entry.order > worker[me].order); worker[me].at = RELEASED }
  :: d_step { worker[me].at == RELEASED -> settle(me); go_idle(me) }
  :: d_step { worker[me].at != IDLE && worker[me].at != RELEASED ->
              wait_no_more(me);
              if :: entry.lessee == me -> entry.lessee = ORPHAN :: else fi;
              go_idle(me);
              printf("worker %d: is killed\n", me) }
  od
}

/* The portal. */

inline move_call(to, from) {
  call[to].kind = call[from].kind; call[to].order = call[from].order;
  call[to].waiter = call[from].waiter; call[to].late = call[from].late
}

inline end_call(c, is_answered) {
  if
  :: call[c].waiter -> worker[call[c].waiter].result = is_answered; worker[call[c].waiter].at = ENDED
  :: else
  fi;
  /* The calls are alike: the first place is filled first. */
  if :: c == 0 -> move_call(0, 1) :: else fi;
  call[1].kind = 0; call[1].order = 0; call[1].waiter = 0; call[1].late = 0
}

inline land(c) {
  if
  :: call[c].kind == CREATE -> leads++; assert(leads <= 1)	/* P2 */
  :: else
  fi;
  lead = value[call[c].order];
  printf("portal: call %d of version %d lands, the lead is %d\n", call[c].kind, call[c].order, lead);
  end_call(c, true)
}

active proctype portal() {
end:
  do
  :: d_step { call[0].kind -> land(0) }
  :: d_step { call[1].kind -> land(1) }
  :: d_step { call[0].kind -> printf("portal: a call vanishes\n"); end_call(0, false) }
  :: d_step { call[1].kind -> printf("portal: a call vanishes\n"); end_call(1, false) }
  od
}

/* What must hold. */

#define at_rest (version && synced == version && worker[1].at == IDLE && worker[2].at == IDLE \
                 && !call[0].kind && !call[1].kind && entry.lessee == FREE && !entry.events && empty(bitrix_queue))

active proctype promises() {
end:
  do
  :: d_step { at_rest && (lead != value[version] || leads != 1) -> assert(false) }	/* P3 */
  :: d_step { timeout && synced != version -> assert(false) }	/* P1 */
  od
}

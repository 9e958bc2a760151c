"""Calls of kernels by a block of numbers, and threads that wait for the next one in machine code.

To hand a hundred and forty numbers from Python to a kernel takes as long as a small iteration, and so
does waking a thread. So numbers lie in a block, from which a function made here hands them on; most
stay from call to call. Threads that help look at a gate, a number in memory, for about as long as
there may be nothing to do between two iterations, before they go to sleep.

A number on the stack is a word of 64 bits in the calling conventions of the processors below, numbers
of floating point have registers of their own, and whoever calls clears the stack: so one function
hands on the most numbers that there are, and a kernel takes as many as it knows.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from pathlib import Path
from typing import Any, NamedTuple

from audionmf.io.kept import CAN_BE_KEPT
from audionmf.spectra.machine_code import made

__all__ = ["ENDED", "MOST_DOUBLES", "MOST_NUMBERS", "STRIDE", "Calls", "calls"]

MOST_NUMBERS, MOST_DOUBLES = 176, 2
"""How many numbers a kernel may take."""
ENDED = -1
"""What a gate says when nothing will come any more. Closed it says 0, else how often it was opened. A
thread that helps says that it is idle (0), works (1), sleeps (2) or is being woken (3)."""
_PAUSES = {
    "x86_64": ("llvm.x86.sse2.pause()", "", 12000),
    "aarch64": ("llvm.aarch64.isb(i32 15)", "i32", 8000),
}
"""What tells a processor that it is only looking, and how often a thread looks: some two tenths of a
millisecond."""
STRIDE = 8
"""States of threads lie so many numbers apart: no two in one line of the cache."""
_TEXT = """
declare void @PAUSE_NAME(PAUSE_TYPE)

define i32 @invoke(i64 %kernel, i64* %block) {
LOADS
  %function = inttoptr i64 %kernel to i32 (TYPES)*
  %failed = call i32 %function(NUMBERS)
  ret i32 %failed
}

define i64 @serve(i64 %kernel, i64* %block, i64* %gate, i64* %state, i64 %before) {
entry:
  store atomic i64 0, i64* %state seq_cst, align 8
  br label %wait
wait:
  %seen = phi i64 [ %before, %entry ], [ %seen, %late ], [ %open, %run ], [ %seen, %awake ]
  br label %look
look:
  %n = phi i64 [ 0, %wait ], [ %n1, %on ]
  %open = load atomic i64, i64* %gate acquire, align 8
  %ended = icmp slt i64 %open, 0
  br i1 %ended, label %leave, label %ask
ask:
  %closed = icmp eq i64 %open, 0
  %known = icmp eq i64 %open, %seen
  %nothing = or i1 %closed, %known
  br i1 %nothing, label %more, label %enter
more:
  %n1 = add i64 %n, 1
  %tired = icmp sgt i64 %n1, LOOKS
  br i1 %tired, label %doze, label %on
on:
  call void @PAUSE
  br label %look
enter:
  store atomic i64 1, i64* %state seq_cst, align 8
  %still = load atomic i64, i64* %gate seq_cst, align 8
  %same = icmp eq i64 %still, %open
  br i1 %same, label %run, label %late
late:
  store atomic i64 0, i64* %state seq_cst, align 8
  br label %wait
run:
  %failed = call i32 @invoke(i64 %kernel, i64* %block)
  %wide = zext i32 %failed to i64
  %error = getelementptr i64, i64* %state, i64 1
  %old = load i64, i64* %error, align 8
  %any = or i64 %old, %wide
  store i64 %any, i64* %error, align 8
  store atomic i64 0, i64* %state seq_cst, align 8
  br label %wait
doze:
  store atomic i64 2, i64* %state seq_cst, align 8
  %again = load atomic i64, i64* %gate seq_cst, align 8
  %again.closed = icmp eq i64 %again, 0
  %again.known = icmp eq i64 %again, %seen
  %sleep = or i1 %again.closed, %again.known
  br i1 %sleep, label %sleeps, label %awake
awake:
  store atomic i64 0, i64* %state seq_cst, align 8
  br label %wait
sleeps:
  ret i64 %seen
leave:
  store atomic i64 0, i64* %state seq_cst, align 8
  ret i64 -1
}

define i64 @open_gate(i64* %gate, i64 %to, i64* %states, i64 %n) {
entry:
  store atomic i64 %to, i64* %gate seq_cst, align 8
  %none = icmp eq i64 %n, 0
  br i1 %none, label %end, label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i1, %each ]
  %asleep = phi i64 [ 0, %entry ], [ %asleep1, %each ]
  %at = mul i64 %i, STRIDE
  %state = getelementptr i64, i64* %states, i64 %at
  %found = cmpxchg i64* %state, i64 2, i64 3 seq_cst seq_cst
  %slept = extractvalue { i64, i1 } %found, 1
  %one = zext i1 %slept to i64
  %bit = shl i64 %one, %i
  %asleep1 = or i64 %asleep, %bit
  %i1 = add i64 %i, 1
  %left = icmp slt i64 %i1, %n
  br i1 %left, label %each, label %end
end:
  %woken = phi i64 [ 0, %entry ], [ %asleep1, %each ]
  ret i64 %woken
}

define i64 @close_gate(i64* %gate, i64* %states, i64 %n) {
entry:
  store atomic i64 0, i64* %gate seq_cst, align 8
  br label %look
look:
  %looks = phi i64 [ 0, %entry ], [ %looks1, %on ]
  br label %each
each:
  %i = phi i64 [ 0, %look ], [ %i1, %each ]
  %at = mul i64 %i, STRIDE
  %place = getelementptr i64, i64* %states, i64 %at
  %state = load atomic i64, i64* %place seq_cst, align 8
  %working = icmp eq i64 %state, 1
  %i1 = add i64 %i, 1
  %last = icmp sge i64 %i1, %n
  %stop = or i1 %working, %last
  br i1 %stop, label %judge, label %each
judge:
  br i1 %working, label %more, label %idle
more:
  %looks1 = add i64 %looks, 1
  %tired = icmp sgt i64 %looks1, LOOKS
  br i1 %tired, label %busy, label %on
on:
  call void @PAUSE
  br label %look
idle:
  ret i64 0
busy:
  ret i64 1
}
"""


class Calls(NamedTuple):
    """The functions made here. Blocks, gates and states are places in memory."""

    invoke: Any
    """(kernel, block): call a kernel; returns what it returns, 0 if all is well."""
    serve: Any
    """(kernel, block, gate, state, seen): call it once each time that the gate opens. Returns the last
    opening when nothing has come for long, -1 when nothing will come."""
    open_gate: Any
    """(gate, to, states, n): open it for the time of this number; returns which of n threads are asleep
    and have to be woken, as bits."""
    close_gate: Any
    """(gate, states, n): close it, and wait for n threads for a while; returns 1 if one still works."""


@functools.cache
def calls() -> Calls | None:
    """Return the functions; None where calls go the slow way."""
    found = _PAUSES.get(platform.machine())
    if found is None or not CAN_BE_KEPT:
        return None
    try:
        sources = Path(__file__).read_bytes()
    except OSError:  # a frozen program has no such file
        return None
    place = made("calls", sources, lambda: _text(*found), Calls._fields)
    number = ctypes.c_int64
    return Calls(
        ctypes.CFUNCTYPE(ctypes.c_int32, number, number)(place["invoke"]),
        ctypes.CFUNCTYPE(number, *[number] * 5)(place["serve"]),
        ctypes.PYFUNCTYPE(number, *[number] * 4)(place["open_gate"]),
        ctypes.CFUNCTYPE(number, *[number] * 3)(place["close_gate"]),
    )


def _text(pause: str, kind: str, looks: int) -> str:
    """Return the functions in LLVM's language."""
    loads, types, numbers = [], [], []
    for i in range(MOST_NUMBERS + MOST_DOUBLES):
        of = "i64" if i < MOST_NUMBERS else "double"
        loads.append(f"  %p{i} = getelementptr i64, i64* %block, i64 {i}")
        if of == "double":
            loads.append(f"  %d{i} = bitcast i64* %p{i} to double*")
        loads.append(f"  %v{i} = load {of}, {of}* %{'p' if of == 'i64' else 'd'}{i}, align 8")
        types.append(of)
        numbers.append(f"{of} %v{i}")
    words = {
        "PAUSE_NAME": pause.partition("(")[0], "PAUSE_TYPE": kind, "PAUSE": pause,
        "LOOKS": str(looks), "STRIDE": str(STRIDE), "LOADS": "\n".join(loads),
        "TYPES": ", ".join(types), "NUMBERS": ", ".join(numbers),
    }  # fmt: skip
    text = _TEXT
    for word, instead in words.items():
        text = text.replace(word, instead)
    return text

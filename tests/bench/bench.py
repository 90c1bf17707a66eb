"""Rows of the table: what was measured of which server in which round, and what it was to be."""

import contextlib
import math
import random
import statistics

import client
from processes import Failure

OURS, UNCACHED = 'ecohttpd', 'ecohttpd-uncached'
# As routers have them, where `cross/build x86_64-unknown-linux-musl` has built them.
STATIC, MINI = 'ecohttpd-static', 'ecohttpd-mini-static'


def quartiles(values):
    if len(values) == 1:
        return values * 3
    return statistics.quantiles(values, n=4, method='inclusive')


def spread(ours, theirs, again=400):
    """The quartiles of the ratio of lower quartiles, by choosing rounds again and again, of both the same."""
    if len(ours) == 1:
        return (ours[0] / theirs[0],) * 2
    chance, rounds, ratios = random.Random(0), range(min(len(ours), len(theirs))), []
    for _ in range(again):
        chosen = chance.choices(rounds, k=len(rounds))
        a, b = (quartiles([values[i] for i in chosen])[0] for values in (ours, theirs))
        ratios.append(a / b)
    low, _, high = quartiles(ratios)
    return low, high


class Bound:
    """At most so much, or so many times what another server has."""

    def __init__(self, most, against=None, of=OURS):
        self.most, self.against, self.of = most, against, of


class Verdict:
    """What became of a bound: the value, or the ratio with its quartiles."""

    def __init__(self, bound, line):
        self.bound = bound
        ours = line.values[bound.of]
        if bound.against is None:
            self.value = line.typical(bound.of)
            self.low, _, self.high = quartiles(ours)
        else:
            theirs = line.values[bound.against]
            self.value = line.typical(bound.of) / line.typical(bound.against)
            self.low, self.high = spread(ours, theirs)
        # Nothing is measured more finely than that.
        self.met = self.value <= bound.most * 1.005

    def text(self):
        against = self.bound.against
        value = f'{self.value:.2f} × {against}' if against else number(self.value)
        spread = '' if self.low == self.high else f' ({number(self.low)}–{number(self.high)})'
        of = '' if self.bound.of == OURS else f'{self.bound.of}: '
        return f'{of}{value}{spread}, at most {self.bound.most:g}: {"met" if self.met else "missed"}'


class Line:
    """A line of the table: per server, a value of each round."""

    def __init__(self, key, title, unit, values, bounds=(), curve=None):
        self.key, self.title, self.unit, self.values, self.curve = key, title, unit, values, curve
        self.verdicts = [Verdict(b, self) for b in bounds
                         if values.get(b.of) and (b.against is None or values.get(b.against))]

    def typical(self, name):
        """The lower quartile: what disturbs only ever adds."""
        return quartiles(self.values[name])[0]


def number(value):
    if value == 0 or abs(value) >= 1000:
        return f'{value:,.0f}'
    digits = max(0, 2 - int(math.floor(math.log10(abs(value)))))
    return f'{value:.{min(digits, 3)}f}'


def check(process, kind):
    """Whether it serves what will be asked for."""
    if kind == 'upload':
        return
    path, body = ('/cgi-bin/hello', 6) if kind == 'cgi' else ('/1k.txt', 1024)
    got = client.whole(process, path, kind == 'tls')
    if got != body:
        raise Failure(f'{process.name}: {path} has {got} bytes, not {body}')


class Bench:
    """The servers at hand and how long to look at them."""

    def __init__(self, servers, extra, rounds, quick):
        self.servers, self.extra, self.rounds, self.quick = servers, extra, rounds, quick
        self.failures = []

    def pick(self, kind, *names):
        """Ours, those of the names that are at hand, and those of --with."""
        chosen = [self.servers[name] for name in (OURS, *names) if name in self.servers]
        return [server for server in [*chosen, *self.extra] if server.can(kind)]

    def failed(self, server, failure):
        if server.name == OURS:
            raise failure
        self.failures.append(str(failure))

    def start(self, kind, servers, stack):
        """Starts all of them, until the stack ends."""
        running = {}
        for server in servers:
            try:
                running[server.name] = stack.enter_context(server.start(kind))
                check(running[server.name], kind)
            except (Failure, OSError) as e:
                self.failed(server, Failure(f'{server.name}: {e}'))
                running.pop(server.name, None)
        return running

    def interleave(self, kind, servers, load, rounds=None):
        """Lets `load` return a value of each server in turn, round by round."""
        with contextlib.ExitStack() as stack:
            running = self.start(kind, servers, stack)
            values = {name: [] for name in running}
            order = [server for server in servers if server.name in running]
            for turn in range(rounds or self.rounds):
                # Nobody is always the first.
                shift = turn % len(order)
                for server in order[shift:] + order[:shift]:
                    if server.name in values:
                        try:
                            values[server.name].append(load(running[server.name]))
                        except (Failure, OSError) as e:
                            self.failed(server, Failure(f'{server.name}: {e}'))
                            del values[server.name]
        return values

    def each(self, kind, servers, look):
        """Lets `look` return a value of each server, while no other runs."""
        values = {}
        for server in servers:
            try:
                with server.start(kind) as process:
                    check(process, kind)
                    values[server.name] = look(process)
            except (Failure, OSError) as e:
                self.failed(server, Failure(f'{server.name}: {e}'))
        return values


ROWS = {}


def row(name):
    """Registers what measures the row of that name: a function of a Bench that yields lines."""

    def register(measure):
        ROWS[name] = measure
        return measure

    return register

"""The table: on the terminal as it grows, and as Markdown."""

import os
import platform
import re
import subprocess
import time

from bench import OURS, number
from processes import CORES
from servers import ROOT


def ordered(lines):
    names = []
    for line in lines:
        names += [name for name in line.values if name not in names]
    return sorted(names, key=lambda name: (name != OURS, not name.startswith(OURS)))


def show(line):
    values = '  '.join(f'{name} {number(line.typical(name))}' for name in line.values)
    print(f'{line.key:<22} {line.title}{f", {line.unit}" if line.unit else ""}\n{"":<22} {values}')
    for verdict in line.verdicts:
        print(f'{"":<22} {verdict.text()}')
    if line.curve:
        print(*(f'{"":<22} {row}' for row in curve(*line.curve)), sep='\n')


def output(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
    except FileNotFoundError:
        return ''
    return done.stdout + done.stderr


def version(pattern, *argv):
    found = re.search(pattern, output(*argv))
    return found[1] if found else '?'


def conditions(bench, notes):
    with open('/proc/cpuinfo') as f:
        model = re.search(r'model name\s*:\s*(.*)', f.read())
    commit = output('git', 'rev-parse', '--short=12', 'HEAD').strip() or '?'
    if output('git', 'status', '--porcelain', '-uno').strip():
        commit += ' with changes'
    if len(CORES) == 1:
        notes = ['On one core: the load runs where the servers do.', *notes]
    versions = {
        'lighttpd': version(r'lighttpd/([0-9.]+)', '/usr/sbin/lighttpd', '-v'),
        'nginx': version(r'nginx/([0-9.]+)', '/usr/sbin/nginx', '-v'),
        'busybox': version(r'BusyBox v([0-9.]+)', 'busybox'),
    }
    return [
        f'{time.strftime("%Y-%m-%d")}, commit {commit}, {bench.rounds} rounds, {os.cpu_count()} × '
        f'{model[1] if model else platform.machine()}, Linux {platform.release()}.',
        f'{", ".join(f"{name} {found}" for name, found in versions.items())}; load by wrk and Python.',
        *notes,
    ]


def markdown(lines, conditions_):
    names = ordered(lines)
    text = ['# Benchmark', '', *[f'- {line}' for line in conditions_], '',
            '| | ' + ' | '.join(names) + ' | ratio or value (quartiles), bound |',
            '|---|' + '---|' * (len(names) + 1)]
    for line in lines:
        title = line.title + (f', {line.unit}' if line.unit else '')
        cells = [number(line.typical(name)) if name in line.values else '' for name in names]
        verdicts = '<br>'.join(verdict.text() for verdict in line.verdicts)
        text.append(f'| {title} | ' + ' | '.join(cells) + f' | {verdicts} |')
    for line in lines:
        if line.curve:
            text += ['', *curve(*line.curve)]
    return '\n'.join(text) + '\n'


def curve(title, unit, points):
    sizes = [n for n, _ in next(iter(points.values()), [])]
    text = [f'| {title}: {unit} of one of N, N = | ' + ' | '.join(f'{n:,}' for n in sizes) + ' |',
            '|---|' + '---|' * len(sizes)]
    for name, found in points.items():
        text.append(f'| {name} | ' + ' | '.join(number(cost * 1e6 / n) for n, cost in found) + ' |')
    return text

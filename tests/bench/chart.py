"""The table as a chart: each bound as a bar, of which 1 is the bound, and the curves below."""

import math
from xml.sax.saxutils import escape

from bench import OURS, number

LEFT, WIDTH, STEP, MOST = 300, 420, 24, 2
MET, MISSED, LINES = '#3a7d44', '#c0392b', ('#1f4e79', '#c77c11', '#6b3fa0', '#2a9d8f', '#666666', '#a0522d')


def text(x, y, words, anchor='start', more=''):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def line(x1, y1, x2, y2, colour, more=''):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{more}/>'


def share(value, bound):
    """Where the bar of a value ends; what is far beyond its bound ends at the edge."""
    part = value / bound if bound else (0 if value == 0 else MOST)
    return LEFT + WIDTH * min(part, MOST) / MOST


def bars(lines, top):
    out, y = [], top
    for row in lines:
        for verdict in row.verdicts:
            bound = verdict.bound
            label = row.key + (f' × {bound.against}' if bound.against else '')
            label += '' if bound.of == OURS else f' ({bound.of})'
            end = share(verdict.value, bound.most)
            colour = MET if verdict.met else MISSED
            out.append(text(LEFT - 8, y + 12, f'{label} ≤ {bound.most:g}', 'end'))
            out.append(f'<rect x="{LEFT}" y="{y}" width="{max(end - LEFT, 1):.1f}" height="14" fill="{colour}"/>')
            if verdict.low != verdict.high:
                out.append(line(share(verdict.low, bound.most), y + 7, share(verdict.high, bound.most), y + 7,
                                '#111', ' stroke-width="3"'))
            beyond = ' →' if end == LEFT + WIDTH else ''
            out.append(text(LEFT + WIDTH + 8, y + 12, number(verdict.value) + beyond))
            y += STEP
    middle = LEFT + WIDTH / MOST
    if y > top:
        out.append(line(middle, top - 6, middle, y - 4, '#111', ' stroke-dasharray="4 3"'))
        out.append(text(middle, top - 10, 'the bound', 'middle'))
    return out, y


def curve(title, unit, points, top):
    """Cost over number, both logarithmic; what is linear is parallel to the dashed line."""
    height = 260
    points = {name: [(n, cost * 1e6) for n, cost in found] for name, found in points.items()}
    every = [point for found in points.values() for point in found]
    if not every:
        return [], top
    most_n = max(n for n, _ in every)
    low, high = min(cost for _, cost in every), max(cost for _, cost in every)
    decades = math.log10(high / low) or 1

    def at(n, cost):
        x = LEFT + WIDTH * math.log10(n) / math.log10(most_n)
        return x, top + 30 + height * (1 - math.log10(cost / low) / decades)

    out = [text(LEFT, top + 14, f'{unit} of N {title}, of all together')]
    n = 1
    while n <= most_n:
        x, _ = at(n, low)
        out += [line(x, top + 30, x, top + 30 + height, '#ddd'), text(x, top + 48 + height, f'{n:,}', 'middle')]
        n *= 10
    out += [text(LEFT - 8, at(1, cost)[1] + 4, f'{cost:,.0f}', 'end') for cost in (low, high)]
    first, last = at(most_n / (high / low), low) if high / low < most_n else at(1, high / most_n), at(most_n, high)
    out += [line(*first, *last, '#999', ' stroke-dasharray="4 3"'),
            text(last[0] - 4, last[1] - 4, 'linear', 'end', ' fill="#777"')]
    for i, (name, found) in enumerate(points.items()):
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in (at(*point) for point in found))
        colour = LINES[i % len(LINES)]
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(text(LEFT + WIDTH + 8, top + 40 + 18 * i, name, more=f' fill="{colour}"'))
    return out, top + height + 80


def svg(lines):
    out, y = bars(lines, 40)
    y += 20
    for row in lines:
        if row.curve:
            more, y = curve(*row.curve, y)
            out += more
    return '\n'.join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 150}" height="{y}" font-family="sans-serif" '
        'font-size="12">', f'<rect width="{LEFT + WIDTH + 150}" height="{y}" fill="white"/>', *out, '</svg>']) + '\n'

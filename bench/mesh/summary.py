"""From the rounds of a row to medians, spreads and ratios.

A ratio is taken within a round, between two runs that stood seconds apart on the same machine, and the
median of the rounds' ratios is the figure: absolute times drift, ratios hardly do. Added latency is what a
proxy's answers took above those without a proxy in the same round.
"""

import statistics

ADDED = (('p50_us', 'p50'), ('p99_us', 'p99'), ('p999_us', 'p999'))
BAD = ('bad_status', 'failed', 'id_errors', 'unanswered', 'overflow', 'connect_errors')


def spread(values):
    """Median, least and most of the values; None when there are none."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values),
            'rounds': len(values)}


def divided(upper, lower):
    """Round by round, where both have a figure; a floor of nothing divides nothing."""
    return [a / b if a is not None and b is not None and b > 0 else None for a, b in zip(upper, lower)]


def column(rounds, key):
    return [run.get(key) if isinstance(run.get(key), (int, float)) else None for run in rounds]


def per_request_key(row):
    return 'cpu_s_per_gib' if row['mode'] == 'tcp' else 'cpu_us'


def above(values, base):
    """Round by round, what a value is more than the base; None where either is missing."""
    return [a - b if a is not None and b is not None else None for a, b in zip(values, base)]


def add_latency(out, rounds, rows):
    """What was added to the answers without a proxy, and that as a ratio to what the floor added."""
    direct, floor = rows.get('direct', []), rows.get('relay', [])
    for key, name in ADDED:
        base = column(direct, key)
        added, floors = above(column(rounds, key), base), above(column(floor, key), base)
        out['added_' + name] = spread(added)
        out['ratio_' + name] = spread(divided(added, floors))


def summed(name, row, rows):
    """The summary of one proxy in one row."""
    rounds = rows[name]
    keys = sorted({key for run in rounds for key, value in run.items() if isinstance(value, (int, float))})
    out = {key: spread(column(rounds, key)) for key in keys if key not in ('attempts', 'when')}
    if row['kind'] in ('wrk', 'h2load', 'load', 'sofarpc') and name != 'direct':
        if row.get('direct'):
            add_latency(out, rounds, rows)
        key = per_request_key(row)
        out['ratio'] = spread(divided(column(rounds, key), column(rows.get(row['floor'], []), key)))
    out['errors'] = sum(run.get(key, 0) for run in rounds for key in BAD)
    out['errors'] += sum('error' in run for run in rounds)
    return {key: value for key, value in out.items() if value is not None}


def goals(row, summary):
    """Each goal of a row against our own figures: what, at most, figure, held. No figure holds no goal."""
    found = []
    for key, most, *which in row.get('goals', []):
        figure = summary[key][which[0] if which else 'median'] if key in summary else None
        found.append({'what': ' '.join([key, *which]), 'at_most': most, 'figure': figure,
                      'held': figure is not None and figure <= most})
    return found

"""The rows that are measured: what load, on which mode of a proxy, and the figure to hold.

A row's `kind` names the function of runs.py that makes one run of it; `mode` the section of a proxy's
definition; `seconds` what one run costs in all, for the estimate. `floor` is the proxy whose figure of the
same round divides the others'. `proxies` are those measured where none are asked for: the ones that can win
a row, so that all rows have five rounds in a quarter of an hour. A goal is (what is summed up, at most), for
our own sidecar; a third word takes another figure than the median: what must never happen is held by `max`.
`slices` are short rounds for one that is asked for: where the noise of a window is larger than what is
measured, many short windows, close together, say more than a few long ones (bench/README.md). Others than
ourselves are measured `peer_rounds` times where the row has no goal that compares us with them.
"""

LATENCY_HTTP = ['--proto', 'http1', '--conns', '32', '--path', '/128', '--rate', '2000']
LATENCY_BOLT = ['--proto', 'bolt', '--conns', '32', '--depth', '64', '--size', '1024', '--rate', '2000']
LATENCY_GOALS = [('ratio_p50', 1.08), ('ratio_p99', 1.08)]
SLICED = dict(slices=3, warm=0.2, secs=0.8, seconds=1.07)
UPGRADED = dict(kind='reload', warm=0.2, secs=2, seconds=4.5, peer_rounds=3)
RELOAD_GOALS = [('lost', 0, 'max'), ('closes', 0, 'max'), ('longer_ms', 5)]

ROWS = {
    'http1_128': dict(
        title='HTTP/1.1, 128 bytes, 64 connections, closed loop: CPU of the proxy for each request',
        kind='wrk', mode='http1', path='/128', conns=64, secs=2, seconds=2.6, floor='relay',
        goals=[('ratio', 1.15)]),
    'http1_4k': dict(
        title='HTTP/1.1, 4 KiB, 64 connections, closed loop: CPU of the proxy for each request',
        kind='wrk', mode='http1', path='/4096', conns=64, secs=2, seconds=2.6, floor='relay',
        proxies=['relay', 'sampan', 'nginx', 'haproxy', 'envoy', 'mosn'],
        goals=[('ratio', 1.15)]),
    'h2': dict(
        title='h2c to h2c, 16 connections of 32 streams: CPU of the proxy for each request',
        kind='h2load', mode='h2', path='/128', conns=16, streams=32, secs=2, seconds=4.2, floor='relay',
        goals=[('ratio', 2.5)]),
    'bolt': dict(
        title='Bolt v1, 1 KiB, 16 connections with 8 requests under way: CPU of the proxy for each request',
        kind='load', mode='bolt', secs=2, seconds=2.6, floor='relay',
        args=['--proto', 'bolt', '--conns', '16', '--depth', '8', '--size', '1024'],
        goals=[('ratio', 2.0)]),
    'tcp': dict(                # the goal: 0.35 s/GiB where splice costs 0.31
        title='plain TCP, 8 connections reading: CPU seconds of the proxy for each GiB',
        kind='load', mode='tcp', secs=1.5, seconds=2.1, floor='relay-splice',
        proxies=['relay', 'relay-splice', 'sampan', 'haproxy-splice', 'envoy', 'mosn'],
        args=['--proto', 'tcp', '--conns', '8'],
        goals=[('ratio', 1.13)]),
    'lat_http1': dict(
        title='HTTP/1.1, 2,000 requests a second over 32 connections: added latency',
        kind='load', mode='http1', **SLICED, floor='relay', direct=True,
        proxies=['relay', 'relay-again', 'sampan', 'nginx', 'haproxy', 'envoy', 'mosn'],
        args=LATENCY_HTTP, goals=LATENCY_GOALS),
    'lat_bolt': dict(
        title='Bolt v1, 1 KiB, 2,000 requests a second over 32 connections: added latency',
        kind='load', mode='bolt', **SLICED, floor='relay', direct=True,
        proxies=['relay', 'relay-again', 'sampan', 'envoy', 'mosn'],
        args=LATENCY_BOLT, goals=LATENCY_GOALS),
    'two_hops': dict(
        title='Bolt v1, 1 KiB, 2,000 requests a second, two proxies of a kind in a row: added latency',
        kind='load', mode='bolt', **SLICED, floor='relay', direct=True, hops=2,
        args=LATENCY_BOLT, goals=LATENCY_GOALS + [('pss_kib_each', 3 * 1024)],
        proxies=['relay', 'relay-again', 'sampan', 'envoy', 'mosn']),
    'two_hops_java': dict(
        title='SOFARPC Java, 1 KiB, 500 calls a second, two proxies of a kind in a row: added latency',
        kind='sofarpc', mode='bolt', probe='beat', rate=500, **SLICED, before=12, floor='relay', direct=True,
        hops=2,
        goals=LATENCY_GOALS + [('pss_kib_each', 3 * 1024)],
        proxies=['relay', 'relay-again', 'sampan', 'mosn']),
    'mem': dict(
        title='memory: idle, and with held HTTP/1.1 connections',
        kind='mem', mode='http1', seconds=6.5, rounds=2, floor='relay',
        goals=[('pss_idle', 3 * 1024), ('kib_per_conn', 0.5)]),
    'mem_bolt': dict(
        title='memory: idle, and with held Bolt connections',
        kind='mem', mode='bolt', seconds=6.5, rounds=2, floor='relay',
        goals=[('pss_idle', 3 * 1024)]),
    'start': dict(
        title='start: from exec to the first good answer',
        kind='start', mode='http1', seconds=0.3, floor='relay', goals=[('ready_ms', 10)]),
    'syscalls': dict(
        title='system calls for each request: HTTP/1.1, 128 bytes, 64 connections, closed loop, traced',
        kind='syscalls', mode='http1', secs=2, seconds=3, rounds=2, floor='relay',
        args=['--proto', 'http1', '--conns', '64', '--path', '/128'],
        goals=[('calls', 4.2), ('eagain', 0.0)]),
    'reload': dict(
        title='hot upgrade under HTTP/1.1, 2,000 requests a second over 32 keep-alive connections',
        mode='http1', **UPGRADED, args=LATENCY_HTTP, goals=RELOAD_GOALS),
    'reload_bolt': dict(
        title='hot upgrade under Bolt, 2,000 requests a second over 32 connections',
        mode='bolt', **UPGRADED, args=LATENCY_BOLT, goals=RELOAD_GOALS),
    'reload_8000': dict(
        title='hot upgrade under 8,000 live HTTP/1.1 connections, which 2,000 requests a second use in turn',
        mode='http1', **dict(UPGRADED, seconds=5.4), live=8000, files=9000,
        goals=RELOAD_GOALS[:2] + [('longer_ms', 10)],
        args=['--proto', 'http1', '--conns', '8000', '--settle', '--path', '/128', '--rate', '2000']),
}

SETS = {
    'sidecar': ['http1_128', 'http1_4k', 'bolt', 'tcp', 'lat_http1', 'lat_bolt', 'two_hops',
                'two_hops_java', 'mem', 'mem_bolt', 'start', 'syscalls'],
    'upgrade': ['reload', 'reload_bolt', 'reload_8000'],
    'identity': ['h2'],
}

PROXIES = ['relay', 'relay-again', 'relay-splice', 'sampan', 'nginx', 'haproxy', 'haproxy-splice', 'nghttpx',
           'envoy', 'mosn']
USUAL = [name for name in PROXIES if name != 'relay-again']      # where a row names none


def rounds(row, asked):
    """How often each proxy of a row is measured when so many rounds are asked for."""
    return min(asked, row.get('rounds', asked)) * row.get('slices', 1)


def takes_part(row, name, turn, turns):
    """Is the proxy measured in this round? Peers with fewer rounds have them spread over all."""
    peers = min(row.get('peer_rounds', turns), turns)
    return name == 'sampan' or turn * peers % turns < peers


def chosen(words):
    """The names of rows behind a list of names and sets."""
    names = []
    for word in words:
        for name in SETS.get(word, [word]):
            if name not in ROWS:
                raise SystemExit(f'measure: no row and no set is called {name}; `measure.py list` names them')
            if name not in names:
                names.append(name)
    return names

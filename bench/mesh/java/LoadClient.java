package com.acme.bench;

import com.acme.EchoService;
import com.alipay.sofa.rpc.config.ApplicationConfig;
import com.alipay.sofa.rpc.config.ConsumerConfig;
import com.alipay.sofa.rpc.core.exception.SofaRpcException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.StringJoiner;
import java.util.concurrent.locks.LockSupport;

/**
 * A SOFARPC consumer that calls at a fixed rate: `LoadClient SIZE THREADS`, then a line `PORT RATE WARM SECS` on
 * standard input for each run. It prints START and END at the borders of the counted window and one line of JSON:
 * what went wrong, under the names that `load` gives it, and all latencies.
 *
 * One process for all runs, so that what is measured is compiled code: a JVM needs seconds until then, a run
 * lasts less than one. It keeps one consumer for each port, with the one connection that SOFARPC makes.
 *
 * Call k is due at t0 + k/RATE and belongs to thread k mod THREADS, which makes it as an application does: it
 * calls and waits for the answer. Latency runs from the due time, so that a stall is charged to every call that
 * it delayed. RATE 0: each thread calls again at once; for warming up only.
 */
public final class LoadClient
{
    private static final int TIMEOUT_MS = 5000;
    private static final long HEAD_START_NS = 20_000_000L;
    private static final double SECOND_NS = 1e9;

    private final byte[] body;
    private final int threads;
    private final Map<Integer, EchoService> services = new HashMap<>();

    private LoadClient(int size, int threads)
    {
        this.body = new byte[size];
        Arrays.fill(this.body, (byte) 'b');
        this.threads = threads;
    }

    public static void main(String[] words) throws IOException, InterruptedException
    {
        LoadClient client = new LoadClient(Integer.parseInt(words[0]), Integer.parseInt(words[1]));
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
            String[] order = line.trim().split(" ");
            client.run(client.services.computeIfAbsent(Integer.parseInt(order[0]), LoadClient::refer),
                Double.parseDouble(order[1]), Double.parseDouble(order[2]), Double.parseDouble(order[3]));
        }
        Runtime.getRuntime().halt(0); /* the library's threads are no daemons */
    }

    private static EchoService refer(int port)
    {
        return new ConsumerConfig<EchoService>().setApplication(new ApplicationConfig().setAppName("bench"))
            .setInterfaceId(EchoService.class.getName()).setProtocol("bolt").setTimeout(TIMEOUT_MS)
            .setRepeatedReferLimit(-1).setDirectUrl("bolt://127.0.0.1:" + port).refer();
    }

    private void run(EchoService service, double rate, double warmS, double secs) throws InterruptedException
    {
        long begin = System.nanoTime() + HEAD_START_NS;
        long from = begin + (long) (warmS * SECOND_NS), to = from + (long) (secs * SECOND_NS);
        Caller[] callers = new Caller[threads];
        for (int i = 0; i < threads; i++) {
            callers[i] = new Caller(service, i, rate, begin, from, to);
            callers[i].start();
        }
        sleepUntil(from);
        say("START");
        sleepUntil(to);
        say("END");
        for (Caller caller : callers)
            caller.join();
        say(report(callers, secs));
    }

    private static void say(String line)
    {
        System.out.println(line);
        System.out.flush();
    }

    private static void sleepUntil(long due)
    {
        for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime())
            LockSupport.parkNanos(left);
    }

    /** One thread of the application. */
    private final class Caller extends Thread
    {
        private final EchoService service;
        private final double rate;
        private final long begin, from, to;
        private final int first;
        private long[] latencies = new long[1024];
        private int answered, failed, wrong;

        Caller(EchoService service, int first, double rate, long begin, long from, long to)
        {
            this.service = service;
            this.first = first;
            this.rate = rate;
            this.begin = begin;
            this.from = from;
            this.to = to;
        }

        @Override
        public void run()
        {
            for (long k = first;; k += threads) {
                long due = rate > 0 ? begin + (long) ((double) k * SECOND_NS / rate) : System.nanoTime();
                if (due >= to)
                    return;
                sleepUntil(due);
                call(due);
            }
        }

        private void call(long due)
        {
            boolean good = false, came = false;
            try {
                byte[] turned = service.turn(body);
                came = true;
                good = turned.length == body.length && turned[0] == (byte) (body[0] ^ 0x5a);
            } catch (SofaRpcException e) {
                good = false;
            }
            if (due < from)
                return;
            if (!came)
                failed++;
            else if (!good)
                wrong++;
            else
                keep(System.nanoTime() - due);
        }

        private void keep(long latency)
        {
            if (answered == latencies.length)
                latencies = Arrays.copyOf(latencies, answered * 2);
            latencies[answered++] = latency;
        }
    }

    /** The driver makes quantiles of the latencies: what is not done here needs no JVM to be tested. */
    private static String report(Caller[] callers, double secs)
    {
        StringJoiner latencies = new StringJoiner(",", "[", "]");
        int failed = 0, wrong = 0;
        for (Caller caller : callers) {
            for (int i = 0; i < caller.answered; i++)
                latencies.add(Long.toString(caller.latencies[i]));
            failed += caller.failed;
            wrong += caller.wrong;
        }
        return String.format(Locale.ROOT, "{\"secs\":%.4f,\"failed\":%d,\"bad_status\":%d,\"latencies_ns\":%s}", secs,
            failed, wrong, latencies);
    }
}

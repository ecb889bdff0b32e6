package com.acme;

import static com.acme.check.Checks.expect;
import static com.acme.check.Checks.same;

import com.acme.check.Checks;
import com.acme.check.Sockets;
import com.alipay.sofa.rpc.api.future.SofaResponseFuture;
import com.alipay.sofa.rpc.config.ApplicationConfig;
import com.alipay.sofa.rpc.config.ConsumerConfig;
import com.alipay.sofa.rpc.config.MethodConfig;
import com.alipay.sofa.rpc.core.exception.SofaRpcException;
import com.alipay.sofa.rpc.core.invoke.SofaResponseCallback;
import com.alipay.sofa.rpc.core.request.RequestBase;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * The SOFARPC consumer that calls on while sidecars are replaced: `UpgradeClient --url bolt://H:P --until FILE`.
 *
 * Threads of each of the four ways to call, over several connections; each call has a number, and its answer
 * must be its own. Says `ready` when each thread has called; when FILE is there each thread ends with the answer
 * that it waits for. Then it says how each way went, compares accounts with the server and names its connections.
 */
public final class UpgradeClient
{
    private static final int TIMEOUT_MS = 60000; /* only what hangs reaches it */
    private static final int CONNECTIONS = 4, SMALL = 1 << 10, LARGE = 1 << 20;
    private static final long SMALL_PAUSE_MS = 8, LARGE_PAUSE_MS = 120;

    private final String url;
    private final Path until;
    private final AtomicLong number = new AtomicLong();
    private final Account account = new Account();
    private final List<Way> ways = new ArrayList<>();
    private final AtomicLong asked = new AtomicLong(); /* calls that are not in the account */

    /** One thread's way to call: returns with the answer, or throws. */
    private interface Call
    {
        void make(long number, byte[] body) throws Exception;
    }

    private final class Way extends Thread
    {
        private final Call call;
        private final int size;
        private final CountDownLatch begun = new CountDownLatch(1);
        private final AtomicReference<Throwable> fault = new AtomicReference<>();
        private long calls;

        private Way(String name, int size, Call call)
        {
            super(name);
            this.size = size;
            this.call = call;
            setDaemon(true);
        }

        @Override
        public void run()
        {
            try {
                while (!Files.exists(until)) {
                    long mine = number.incrementAndGet();
                    byte[] body = new byte[size];
                    new Random(mine).nextBytes(body);
                    account.add(mine, body);
                    call.make(mine, body);
                    calls++;
                    begun.countDown();
                    Thread.sleep(size == LARGE ? LARGE_PAUSE_MS : SMALL_PAUSE_MS);
                }
            } catch (Throwable e) {
                fault.set(e);
                begun.countDown();
            }
        }

        private void end() throws Exception
        {
            join(2L * TIMEOUT_MS);
            expect(!isAlive(), "waits for an answer after " + calls + " calls");
            if (fault.get() != null)
                throw new AssertionError("after " + calls + " calls: " + fault.get(), fault.get());
        }
    }

    private UpgradeClient(Args args)
    {
        url = args.get("url", null);
        until = Path.of(args.get("until", null));
    }

    public static void main(String[] words) throws Exception
    {
        /* Before any class of SOFABolt is loaded: it refuses to write where more than 64 KiB wait in the socket. */
        System.setProperty("bolt.netty.buffer.low.watermark", String.valueOf(32 * LARGE));
        System.setProperty("bolt.netty.buffer.high.watermark", String.valueOf(64 * LARGE));
        int failed = new UpgradeClient(new Args(words, "url", "until")).run();
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1); /* the library's threads are no daemons */
    }

    private int run() throws Exception
    {
        EchoService echo = refer(null, null);
        for (int i = 0; i < 4; i++)
            ways.add(new Way("sync-" + i, SMALL, (mine, body) -> own(body, echo.enter(mine, body))));
        ways.add(new Way("sync-one-mib", LARGE, (mine, body) -> own(body, echo.enter(mine, body))));
        EchoService future = refer("future", null);
        ways.add(new Way("future", SMALL, (mine, body) -> later(future, mine, body)));
        ways.add(new Way("future-one-mib", LARGE, (mine, body) -> later(future, mine, body)));
        for (int size : new int[] { SMALL, LARGE }) {
            Answers answers = new Answers();
            EchoService callback = refer("callback", answers);
            ways.add(new Way("callback" + (size == LARGE ? "-one-mib" : ""), size,
                (mine, body) -> answers.take(callback, mine, body)));
        }
        EchoService oneway = refer("oneway", null);
        ways.add(new Way("oneway", SMALL, (mine, body) -> quiet(oneway, echo, mine, body)));
        ways.add(new Way("oneway-one-mib", LARGE, (mine, body) -> quiet(oneway, echo, mine, body)));
        return follow(echo);
    }

    private int follow(EchoService echo) throws Exception
    {
        int port = Integer.parseInt(url.replaceAll("^.*:(\\d+).*$", "$1"));
        for (Way way : ways)
            way.start();
        for (Way way : ways)
            way.begun.await(TIMEOUT_MS, TimeUnit.MILLISECONDS);
        Set<Integer> before = Sockets.to(port);
        System.out.println("ready");
        System.out.flush();

        Checks checks = new Checks("");
        for (Way way : ways)
            checks.check(way.getName() + "-had-its-own-answers", way::end);
        checks.check("both-ends-have-the-same-account", () -> settle(echo));
        checks.check("no-connection-was-made-anew", () -> {
            expect(before.size() > 1, "several connections were expected, not " + before);
            same(before, Sockets.to(port));
        });
        System.out.println("sum {\"calls\": " + (number.get() + asked.get()) + ", \"connections\": " + before.size() + "}");
        return checks.failed();
    }

    /** What was sent one-way may still be on its way: the account is asked for until it is complete. */
    private void settle(EchoService echo) throws Exception
    {
        long[] mine = account.sums();
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(TIMEOUT_MS);
        long[] other = ask(echo);
        while (other[0] < mine[0] && System.nanoTime() < end) {
            Thread.sleep(20);
            other = ask(echo);
        }
        same(Arrays.toString(mine), Arrays.toString(other));
        same(mine[0], mine[1]);
    }

    private long[] ask(EchoService echo)
    {
        asked.incrementAndGet();
        return echo.account();
    }

    private static void own(byte[] body, Object answer)
    {
        expect(answer instanceof byte[], "answered by " + answer);
        byte[] turned = ((byte[]) answer).clone();
        for (int i = 0; i < turned.length; i++)
            turned[i] ^= 0x5a;
        expect(Arrays.equals(body, turned), "another call's answer, or bytes that were not sent");
    }

    private static void later(EchoService future, long mine, byte[] body) throws Exception
    {
        same(null, future.enter(mine, body));
        own(body, SofaResponseFuture.getResponse(TIMEOUT_MS, true));
    }

    /** A server that is busy refuses what its 200 threads cannot take, and nobody hears that of a one-way call: so
     * now and then one call waits for its answer. */
    private void quiet(EchoService oneway, EchoService echo, long mine, byte[] body)
    {
        oneway.note(mine, body);
        if (mine % 8 == 0)
            ask(echo);
    }

    /** Answers that come to a callback; one call is under way at a time, so a second answer would be seen. */
    private static final class Answers implements SofaResponseCallback<Object>
    {
        private final BlockingQueue<Object> come = new LinkedBlockingQueue<>();

        private void take(EchoService callback, long mine, byte[] body) throws Exception
        {
            expect(come.isEmpty(), "an answer that nobody waits for: " + come.peek());
            same(null, callback.enter(mine, body));
            own(body, come.poll(TIMEOUT_MS, TimeUnit.MILLISECONDS));
        }

        @Override
        public void onAppResponse(Object response, String method, RequestBase request)
        {
            come.add(response);
        }

        @Override
        public void onAppException(Throwable thrown, String method, RequestBase request)
        {
            come.add(thrown);
        }

        @Override
        public void onSofaException(SofaRpcException thrown, String method, RequestBase request)
        {
            come.add(thrown);
        }
    }

    private EchoService refer(String how, SofaResponseCallback<?> callback)
    {
        ConsumerConfig<EchoService> consumer = new ConsumerConfig<EchoService>()
            .setApplication(new ApplicationConfig().setAppName("acme-client"))
            .setInterfaceId(EchoService.class.getName()).setProtocol("bolt").setTimeout(TIMEOUT_MS)
            .setRepeatedReferLimit(-1).setConnectTimeout(TIMEOUT_MS).setConnectionNum(CONNECTIONS).setDirectUrl(url);
        List<MethodConfig> methods = new ArrayList<>();
        for (String name : how == null ? List.<String>of() : List.of("enter", "note")) {
            MethodConfig method = new MethodConfig();
            method.setName(name);
            method.setInvokeType(how);
            method.setTimeout(TIMEOUT_MS); /* else three seconds, whatever the consumer has */
            if (callback != null)
                method.setOnReturn(callback);
            methods.add(method);
        }
        if (!methods.isEmpty())
            consumer.setMethods(methods);
        return consumer.refer();
    }
}

package com.acme;

import static com.acme.check.Checks.expect;
import static com.acme.check.Checks.same;

import com.acme.check.Checks;
import com.acme.check.Sockets;
import com.alipay.sofa.rpc.api.future.SofaResponseFuture;
import com.alipay.sofa.rpc.config.ApplicationConfig;
import com.alipay.sofa.rpc.config.ConsumerConfig;
import com.alipay.sofa.rpc.config.MethodConfig;
import com.alipay.sofa.rpc.config.RegistryConfig;
import com.alipay.sofa.rpc.core.exception.SofaRpcException;
import com.alipay.sofa.rpc.core.exception.SofaTimeOutException;
import com.alipay.sofa.rpc.core.invoke.SofaResponseCallback;
import com.alipay.sofa.rpc.core.request.RequestBase;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/**
 * The SOFARPC consumer: `EchoClient (--url bolt://H:P | --mesh http://H:P) [--watch PORT] [--only a,b]`.
 *
 * `--url` is SOFARPC's direct address; `--mesh` its `mesh` registry, which asks the sidecar's API at H:P
 * and then sends every call to H:12220. `--watch` names the port that the connections of this process go
 * to, where that is neither. One line for each check; the exit status is 1 when any failed.
 */
public final class EchoClient
{
    private static final int MESH_TRAFFIC_PORT = 12220; /* fixed inside SOFARPC */
    private static final int TIMEOUT_MS = 30000; /* only what hangs reaches it: others may have the machine */
    private static final int HASTY_MS = 300, SLOW_MS = 2000;
    private static final int MIB = 1 << 20;
    private static final long SEED = 20190419;

    private final Args args;

    private EchoClient(Args args)
    {
        this.args = args;
    }

    public static void main(String[] words)
    {
        /* Before any class of SOFABolt is loaded. Three missed answers, a second each, and the client hangs up. */
        System.setProperty("bolt.tcp.heartbeat.interval", "400");
        /* SOFABolt refuses to write where more than 64 KiB wait in the socket: our bodies are larger than that. */
        System.setProperty("bolt.netty.buffer.low.watermark", String.valueOf(32 * MIB));
        System.setProperty("bolt.netty.buffer.high.watermark", String.valueOf(64 * MIB));

        EchoClient client = new EchoClient(new Args(words, "url", "mesh", "watch", "only"));
        int failed = client.run();
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1); /* the library's threads are no daemons */
    }

    private int run()
    {
        Checks checks = new Checks(args.get("only", ""));
        EchoService echo = refer(EchoService.class, null, TIMEOUT_MS, null);

        checks.check("sync", () -> sync(echo));
        checks.check("structured-values", () -> structured(echo));
        checks.check("oneway", this::oneway);
        checks.check("future", this::future);
        checks.check("callback", this::callback);
        checks.check("business-exception", () -> business(echo));
        checks.check("runtime-exception", () -> runtime(echo));
        checks.check("callback-exception", this::callbackException);
        checks.check("one-mib-both-ways", () -> large(echo));
        checks.check("timeout", () -> timeout(echo));
        checks.check("unknown-service-fails-at-once", this::missing);
        checks.check("concurrent-answers-not-crossed", () -> concurrent(echo));
        checks.check("heartbeats-keep-idle-connection", () -> heartbeats(echo));
        return checks.failed();
    }

    /* ---- the checks ---- */

    private static void sync(EchoService echo)
    {
        for (int i = 0; i < 100; i++)
            same("sync " + i, echo.echo("sync " + i));
        same("", echo.echo(""));
        same("舢板", echo.echo("舢板"));
    }

    private static void structured(EchoService echo)
    {
        Parcel inner = new Parcel();
        inner.setName("内");
        inner.setWeight(Long.MIN_VALUE);
        inner.setPrice(Double.MIN_VALUE);
        Parcel parcel = new Parcel();
        parcel.setName("outer");
        parcel.setWeight(Long.MAX_VALUE);
        parcel.setPrice(-0.5);
        parcel.setTags(List.of("a", "", "ü"));
        parcel.setParts(new HashMap<>(Map.of("one", 1, "min", Integer.MIN_VALUE)));
        parcel.setInner(inner);
        parcel.setTags(new java.util.ArrayList<>(parcel.getTags()));
        same(parcel, echo.carry(parcel));
    }

    private void oneway() throws Exception
    {
        EchoService quiet = refer(EchoService.class, "oneway", TIMEOUT_MS, null, "tick");
        String key = "oneway-" + System.nanoTime();
        for (int i = 0; i < 10; i++)
            quiet.tick(key);
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(TIMEOUT_MS);
        int seen = quiet.ticks(key);
        while (seen < 10 && System.nanoTime() < end) {
            Thread.sleep(5);
            seen = quiet.ticks(key);
        }
        same(10, seen);
    }

    private void future() throws Exception
    {
        EchoService later = refer(EchoService.class, "future", TIMEOUT_MS, null, "slow");
        same(null, later.slow(20, "future"));
        same("future", SofaResponseFuture.getResponse(TIMEOUT_MS, true));
    }

    private void callback() throws Exception
    {
        Waiting waiting = new Waiting();
        EchoService later = refer(EchoService.class, "callback", TIMEOUT_MS, waiting, "slow");
        same(null, later.slow(20, "callback"));
        same("callback", waiting.answer.get(TIMEOUT_MS, TimeUnit.MILLISECONDS));
    }

    private void callbackException() throws Exception
    {
        Waiting waiting = new Waiting();
        EchoService later = refer(EchoService.class, "callback", TIMEOUT_MS, waiting, "refuse");
        later.refuse("to the callback");
        Object got = waiting.answer.get(TIMEOUT_MS, TimeUnit.MILLISECONDS);
        expect(got instanceof EchoException, "the callback got " + got);
        same("to the callback", ((EchoException) got).getMessage());
    }

    private static void business(EchoService echo)
    {
        try {
            String got = echo.refuse("no such account");
            expect(false, "answered " + got);
        } catch (EchoException e) {
            same("no such account", e.getMessage());
            same(4711, e.getCode());
        }
        same("still here", echo.echo("still here"));
    }

    private static void runtime(EchoService echo)
    {
        try {
            String got = echo.crash("on the rocks");
            expect(false, "answered " + got);
        } catch (IllegalStateException e) {
            same("on the rocks", e.getMessage());
        }
        same("still here", echo.echo("still here"));
    }

    private static void large(EchoService echo)
    {
        for (int size : new int[] { 1, 4095, 65535, 65536, MIB - 1, MIB, 4 * MIB }) {
            byte[] up = bytes(SEED + size, size);
            byte[] down = echo.turn(up);
            same(size, down.length);
            for (int i = 0; i < size; i++)
                expect(down[i] == (byte) (up[i] ^ 0x5a), "seed " + (SEED + size) + ": byte " + i + " differs");
        }
    }

    private void timeout(EchoService echo)
    {
        EchoService hasty = refer(EchoService.class, null, HASTY_MS, null);
        long start = System.nanoTime();
        try {
            String got = hasty.slow(SLOW_MS, "too late");
            expect(false, "answered " + got);
        } catch (SofaTimeOutException e) {
            long took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
            expect(took >= HASTY_MS - 100, "timed out after " + took + " ms, not " + HASTY_MS);
        }
        /* The late answer arrives during these; none of them may get it. */
        long end = start + TimeUnit.MILLISECONDS.toNanos(SLOW_MS + 400);
        for (int i = 0; System.nanoTime() < end; i++) {
            same("after " + i, again(hasty, "after " + i));
            same("other " + i, echo.slow(1, "other " + i));
        }
    }

    /** Asks by the connection of the call that was too slow; a machine that is busy may be slow again. */
    private static String again(EchoService hasty, String word)
    {
        try {
            return hasty.echo(word);
        } catch (SofaTimeOutException e) {
            return word;
        }
    }

    private void missing()
    {
        Missing nobody = refer(Missing.class, null, TIMEOUT_MS, null);
        try {
            String got = nobody.echo("anyone?");
            expect(false, "answered " + got);
        } catch (SofaRpcException e) {
            expect(!(e instanceof SofaTimeOutException), "nobody said no: " + e);
        }
    }

    private static void concurrent(EchoService echo) throws Exception
    {
        ExecutorService pool = Executors.newFixedThreadPool(24);
        try {
            List<Callable<Integer>> jobs = new java.util.ArrayList<>();
            for (int t = 0; t < 24; t++) {
                int thread = t;
                jobs.add(() -> talk(echo, thread));
            }
            int calls = 0;
            for (Future<Integer> done : pool.invokeAll(jobs, 120, TimeUnit.SECONDS))
                calls += done.get();
            same(24 * 80, calls);
        } finally {
            pool.shutdownNow();
        }
    }

    private static int talk(EchoService echo, int thread)
    {
        Random random = new Random(SEED + thread);
        for (int i = 0; i < 80; i++) {
            String word = thread + "/" + i + "/" + random.nextLong();
            if (i % 10 == 0) {
                byte[] up = bytes(random.nextLong(), 1 + random.nextInt(96 * 1024));
                byte[] down = echo.turn(up);
                for (int k = 0; k < down.length; k++)
                    down[k] ^= 0x5a;
                expect(Arrays.equals(up, down), "seed " + (SEED + thread) + ": bytes of another call");
            } else if (i % 3 == 0) {
                same(word, echo.slow(random.nextInt(8), word));
            } else {
                same(word, echo.echo(word));
            }
        }
        return 80;
    }

    private void heartbeats(EchoService echo) throws Exception
    {
        int port = args.number("watch", portOfTarget());
        same("before", echo.echo("before"));
        Set<Integer> before = Sockets.to(port);
        expect(!before.isEmpty(), "no connection to port " + port);
        Thread.sleep(8000);
        Set<Integer> after = Sockets.to(port);
        same(before, after);
        same("after", echo.echo("after"));
        same(before, Sockets.to(port));
    }

    /* ---- what they need ---- */

    /** Takes one answer, of any kind. */
    private static final class Waiting implements SofaResponseCallback<Object>
    {
        private final CompletableFuture<Object> answer = new CompletableFuture<>();

        @Override
        public void onAppResponse(Object response, String method, RequestBase request)
        {
            answer.complete(response);
        }

        @Override
        public void onAppException(Throwable thrown, String method, RequestBase request)
        {
            answer.complete(thrown);
        }

        @Override
        public void onSofaException(SofaRpcException thrown, String method, RequestBase request)
        {
            answer.complete(thrown);
        }
    }

    private <T> T refer(Class<T> face, String how, int timeout, SofaResponseCallback<?> callback, String... methods)
    {
        ApplicationConfig self = new ApplicationConfig().setAppName("acme-client");
        ConsumerConfig<T> consumer = new ConsumerConfig<T>().setApplication(self).setInterfaceId(face.getName())
            .setProtocol("bolt").setTimeout(timeout).setRepeatedReferLimit(-1).setAddressWait(TIMEOUT_MS)
            .setConnectTimeout(TIMEOUT_MS);
        String url = args.get("url", null);
        String mesh = args.get("mesh", "http://127.0.0.1:13330");
        if (url != null)
            consumer.setDirectUrl(url);
        else
            consumer.setRegistry(new RegistryConfig().setProtocol("mesh").setAddress(mesh));
        List<MethodConfig> ways = new java.util.ArrayList<>();
        for (String method : methods) {
            MethodConfig way = new MethodConfig();
            way.setName(method);
            way.setInvokeType(how);
            if (callback != null)
                way.setOnReturn(callback);
            ways.add(way);
        }
        if (!ways.isEmpty())
            consumer.setMethods(ways);
        return consumer.refer();
    }

    private int portOfTarget()
    {
        String url = args.get("url", null);
        return url == null ? MESH_TRAFFIC_PORT : Integer.parseInt(url.replaceAll("^.*:(\\d+).*$", "$1"));
    }

    private static byte[] bytes(long seed, int size)
    {
        byte[] body = new byte[size];
        new Random(seed).nextBytes(body);
        return body;
    }
}

package com.acme;

import com.alipay.sofa.rpc.config.ApplicationConfig;
import com.alipay.sofa.rpc.config.ProviderConfig;
import com.alipay.sofa.rpc.config.RegistryConfig;
import com.alipay.sofa.rpc.config.ServerConfig;
import com.google.protobuf.StringValue;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The SOFARPC provider: `EchoServer --port N [--host H] [--mesh http://H:P] [--idle MILLIS]`.
 *
 * It knows nothing of a sidecar. With `--mesh` it uses SOFARPC's own `mesh` registry, which tells the
 * sidecar beside it what it offers. It closes connections that were idle for `--idle`, far sooner than
 * SOFABolt's 90 seconds, so that a check of heartbeats does not have to last that long.
 */
public final class EchoServer
{
    private EchoServer()
    {
    }

    public static void main(String[] words) throws InterruptedException
    {
        Args args = new Args(words, "port", "host", "mesh", "idle");
        System.setProperty("bolt.tcp.server.idle.interval", args.get("idle", "3000"));

        ServerConfig server = new ServerConfig().setProtocol("bolt").setPort(args.number("port", 12200))
            .setHost(args.get("host", "127.0.0.1")).setDaemon(true);
        String mesh = args.get("mesh", null);
        publish(EchoService.class, new Echo(), server, mesh);
        publish(ProtoEcho.class, new Proto(), server, mesh);

        System.out.println("ready");
        System.out.flush();
        new CountDownLatch(1).await();
    }

    private static <T> void publish(Class<T> face, T body, ServerConfig server, String mesh)
    {
        ProviderConfig<T> provider = new ProviderConfig<T>().setApplication(new ApplicationConfig().setAppName("acme"))
            .setInterfaceId(face.getName()).setRef(body).setServer(server).setRegister(mesh != null);
        if (mesh != null)
            provider.setRegistry(new RegistryConfig().setProtocol("mesh").setAddress(mesh));
        provider.export();
    }

    private static final class Proto implements ProtoEcho
    {
        @Override
        public StringValue echo(StringValue text)
        {
            return StringValue.of("proto:" + text.getValue());
        }
    }

    private static final class Echo implements EchoService
    {
        private final Map<String, AtomicInteger> seen = new ConcurrentHashMap<>();
        private final Account account = new Account();

        @Override
        public String echo(String text)
        {
            return text;
        }

        @Override
        public byte[] turn(byte[] body)
        {
            byte[] turned = new byte[body.length];
            for (int i = 0; i < body.length; i++)
                turned[i] = (byte) (body[i] ^ 0x5a);
            return turned;
        }

        @Override
        public String refuse(String why) throws EchoException
        {
            throw new EchoException(why, 4711);
        }

        @Override
        public String crash(String why)
        {
            throw new IllegalStateException(why);
        }

        @Override
        public String slow(int millis, String text)
        {
            try {
                Thread.sleep(millis);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return text;
        }

        @Override
        public void tick(String key)
        {
            seen.computeIfAbsent(key, k -> new AtomicInteger()).incrementAndGet();
        }

        @Override
        public int ticks(String key)
        {
            AtomicInteger count = seen.get(key);
            return count == null ? 0 : count.get();
        }

        @Override
        public byte[] enter(long number, byte[] body)
        {
            account.add(number, body);
            return turn(body);
        }

        @Override
        public void note(long number, byte[] body)
        {
            account.add(number, body);
        }

        @Override
        public long[] account()
        {
            return account.sums();
        }

        @Override
        public Parcel carry(Parcel parcel)
        {
            return parcel;
        }
    }
}

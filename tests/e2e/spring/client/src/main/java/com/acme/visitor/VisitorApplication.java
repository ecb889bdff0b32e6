package com.acme.visitor;

import static com.acme.check.Checks.expect;
import static com.acme.check.Checks.same;

import com.acme.check.Checks;
import com.acme.check.Sockets;
import feign.FeignException;
import feign.Response;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.openfeign.EnableFeignClients;

/**
 * The client of the pair: `java -jar spring-client.jar --acme.url=http://H:P [--acme.only=a,b]`.
 * One line for each check; the exit status is 1 when any failed.
 */
@SpringBootApplication
@EnableFeignClients
public class VisitorApplication implements CommandLineRunner
{
    private static final int MIB = 1 << 20;
    private static final long SEED = 20190419;

    private final Harbour harbour;
    private final URI url;
    private final String only;
    private int failed;

    public VisitorApplication(Harbour harbour, @Value("${acme.url}") URI url, @Value("${acme.only:}") String only)
    {
        this.harbour = harbour;
        this.url = url;
        this.only = only;
    }

    public static void main(String[] args)
    {
        var context = SpringApplication.run(VisitorApplication.class, args);
        int failed = context.getBean(VisitorApplication.class).failed;
        context.close();
        System.exit(failed == 0 ? 0 : 1);
    }

    @Override
    public void run(String... args)
    {
        Checks checks = new Checks(only);
        checks.check("json", this::json);
        checks.check("query-text", this::query);
        checks.check("headers", this::headers);
        checks.check("not-found", this::notFound);
        checks.check("statuses", this::statuses);
        checks.check("two-mib-body", this::large);
        checks.check("keep-alive", this::keepAlive);
        checks.check("concurrent-answers-not-crossed", this::concurrent);
        failed = checks.failed();
    }

    private void json()
    {
        Harbour.Boat boat =
            new Harbour.Boat(7, "舢板 \"Sampan\"", 4.25, List.of("Li", "Jörg", ""), Map.of("sail", "red"));
        same(boat, harbour.put(7, boat));
        same(boat, harbour.get(7));
        harbour.delete(7);
        try {
            harbour.get(7);
            expect(false, "the boat is still there");
        } catch (FeignException.NotFound e) {
            same(404, e.status());
        }
    }

    private void query()
    {
        for (String text : List.of("plain", "a b&c=d/e?f#g%", "ü舢", "+"))
            same(text, harbour.echo(text).get("text"));
    }

    private void headers() throws Exception
    {
        String visitor = "gull ".repeat(200).trim();
        try (Response response = harbour.headers(visitor, "1")) {
            same(200, response.status());
            String body = new String(response.body().asInputStream().readAllBytes(), StandardCharsets.UTF_8);
            expect(body.contains("\"x-visitor\":\"" + visitor + "\""), "x-visitor is not in " + body);
            expect(body.contains("\"x-empty\":\"1\""), "x-empty is not in " + body);
            same(Set.of("Elbe", "Weser"), Set.copyOf(header(response, "X-Harbour")));
            same(List.of("\"42\""), new ArrayList<>(header(response, "ETag")));
        }
        same(url.getAuthority(), harbour.host().get("host"));
    }

    private static Collection<String> header(Response response, String name)
    {
        return response.headers().entrySet().stream().filter(e -> e.getKey().equalsIgnoreCase(name)).findFirst()
            .map(Map.Entry::getValue).orElse(List.of());
    }

    private void notFound()
    {
        try {
            harbour.get(404);
            expect(false, "there is a boat 404");
        } catch (FeignException.NotFound e) {
            expect(e.contentUTF8().contains("\"status\":404"), "the body is not the server's own: " + e.contentUTF8());
        }
    }

    private void statuses()
    {
        same(200, harbour.status(200).get("code"));
        same(201, harbour.status(201).get("code"));
        for (int code : new int[] { 400, 401, 409, 429, 500, 503 }) {
            try {
                harbour.status(code);
                expect(false, "no exception for " + code);
            } catch (FeignException e) {
                same(code, e.status());
                same("{\"code\":" + code + "}", e.contentUTF8());
            }
        }
    }

    private void large()
    {
        for (int size : new int[] { 1, 65536, 2 * MIB }) {
            byte[] up = bytes(SEED + size, size);
            turned(up, harbour.turn(up), SEED + size);
        }
    }

    /** Forty calls in a row go over one connection. */
    private void keepAlive() throws Exception
    {
        same("first", harbour.echo("first").get("text"));
        Set<Integer> before = Sockets.to(url.getPort());
        same(1, before.size());
        for (int i = 0; i < 40; i++)
            same("again " + i, harbour.echo("again " + i).get("text"));
        same(before, Sockets.to(url.getPort()));
    }

    private void concurrent() throws Exception
    {
        ExecutorService pool = Executors.newFixedThreadPool(12);
        try {
            List<Callable<Integer>> jobs = new ArrayList<>();
            for (int t = 0; t < 12; t++) {
                int thread = t;
                jobs.add(() -> talk(thread));
            }
            int calls = 0;
            for (Future<Integer> done : pool.invokeAll(jobs, 120, TimeUnit.SECONDS))
                calls += done.get();
            same(12 * 50, calls);
        } finally {
            pool.shutdownNow();
        }
    }

    private int talk(int thread)
    {
        Random random = new Random(SEED + thread);
        for (int i = 0; i < 50; i++) {
            String word = thread + "/" + i + "/" + random.nextLong();
            if (i % 10 == 0) {
                byte[] up = bytes(random.nextLong(), 1 + random.nextInt(96 * 1024));
                turned(up, harbour.turn(up), SEED + thread);
            } else {
                same(word, harbour.echo(word).get("text"));
            }
        }
        return 50;
    }

    private static void turned(byte[] up, byte[] down, long seed)
    {
        same(up.length, down.length);
        for (int i = 0; i < up.length; i++)
            expect(down[i] == (byte) (up[i] ^ 0x5a), "seed " + seed + ": byte " + i + " of " + up.length + " differs");
    }

    private static byte[] bytes(long seed, int size)
    {
        byte[] body = new byte[size];
        new Random(seed).nextBytes(body);
        return body;
    }
}

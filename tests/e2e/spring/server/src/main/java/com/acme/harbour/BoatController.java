package com.acme.harbour;

import jakarta.servlet.http.HttpServletRequest;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.PutMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestHeader;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;

/** Boats in a harbour: the usual REST verbs, and a few ends that show what arrived. */
@RestController
public class BoatController
{
    /** A boat, as JSON. */
    public record Boat(long id, String name, double length, List<String> crew, Map<String, String> marks)
    {
    }

    private final Map<Long, Boat> boats = new ConcurrentHashMap<>();

    @PutMapping("/boats/{id}")
    public Boat put(@PathVariable("id") long id, @RequestBody Boat boat)
    {
        boats.put(id, boat);
        return boat;
    }

    @GetMapping("/boats/{id}")
    public Boat get(@PathVariable("id") long id)
    {
        Boat boat = boats.get(id);
        if (boat == null)
            throw new ResponseStatusException(HttpStatus.NOT_FOUND, "no such boat");
        return boat;
    }

    @DeleteMapping("/boats/{id}")
    public ResponseEntity<Void> delete(@PathVariable("id") long id)
    {
        return boats.remove(id) == null ? ResponseEntity.notFound().build() : ResponseEntity.noContent().build();
    }

    @GetMapping("/echo")
    public Map<String, String> echo(@RequestParam("text") String text)
    {
        return Map.of("text", text);
    }

    /** The headers `x-…` that arrived, and two of our own. */
    @GetMapping("/headers")
    public ResponseEntity<Map<String, String>> headers(@RequestHeader Map<String, String> all)
    {
        Map<String, String> own = new TreeMap<>();
        all.forEach((name, value) -> {
            if (name.toLowerCase().startsWith("x-"))
                own.put(name.toLowerCase(), value);
        });
        return ResponseEntity.ok().header("X-Harbour", "Elbe", "Weser").header("ETag", "\"42\"").body(own);
    }

    /** The body, each byte XORed with 0x5a. */
    @PostMapping(path = "/turn", consumes = MediaType.APPLICATION_OCTET_STREAM_VALUE,
        produces = MediaType.APPLICATION_OCTET_STREAM_VALUE)
    public byte[] turn(@RequestBody byte[] body)
    {
        for (int i = 0; i < body.length; i++)
            body[i] ^= 0x5a;
        return body;
    }

    @GetMapping("/status/{code}")
    public ResponseEntity<Map<String, Integer>> status(@PathVariable("code") int code)
    {
        return ResponseEntity.status(code).body(Map.of("code", code));
    }

    @GetMapping("/host")
    public Map<String, String> host(HttpServletRequest request)
    {
        return Map.of("host", request.getHeader("Host"));
    }
}

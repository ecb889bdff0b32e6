package com.acme.visitor;

import feign.Response;
import java.util.List;
import java.util.Map;
import org.springframework.cloud.openfeign.FeignClient;
import org.springframework.http.MediaType;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.PutMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestHeader;
import org.springframework.web.bind.annotation.RequestParam;

/** The harbour's interface, as Feign wants it. */
@FeignClient(name = "harbour", url = "${acme.url}")
public interface Harbour
{
    /** A boat, as JSON. */
    record Boat(long id, String name, double length, List<String> crew, Map<String, String> marks)
    {
    }

    @PutMapping("/boats/{id}")
    Boat put(@PathVariable("id") long id, @RequestBody Boat boat);

    @GetMapping("/boats/{id}")
    Boat get(@PathVariable("id") long id);

    @DeleteMapping("/boats/{id}")
    void delete(@PathVariable("id") long id);

    @GetMapping("/echo")
    Map<String, String> echo(@RequestParam("text") String text);

    @GetMapping("/headers")
    Response headers(@RequestHeader("X-Visitor") String visitor, @RequestHeader("X-Empty") String empty);

    @PostMapping(path = "/turn", consumes = MediaType.APPLICATION_OCTET_STREAM_VALUE,
        produces = MediaType.APPLICATION_OCTET_STREAM_VALUE)
    byte[] turn(@RequestBody byte[] body);

    @GetMapping("/status/{code}")
    Map<String, Integer> status(@PathVariable("code") int code);

    @GetMapping("/host")
    Map<String, String> host();
}

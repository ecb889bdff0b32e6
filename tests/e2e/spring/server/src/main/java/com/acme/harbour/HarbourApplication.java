package com.acme.harbour;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.context.event.ApplicationReadyEvent;
import org.springframework.context.event.EventListener;

/** The server of the pair: `java -jar spring-server.jar --server.port=N --server.address=H`. */
@SpringBootApplication
public class HarbourApplication
{
    public static void main(String[] args)
    {
        SpringApplication.run(HarbourApplication.class, args);
    }

    @EventListener(ApplicationReadyEvent.class)
    public void ready()
    {
        System.out.println("ready");
        System.out.flush();
    }
}

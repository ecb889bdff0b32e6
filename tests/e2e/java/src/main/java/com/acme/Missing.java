package com.acme;

/** A service that nobody offers. */
public interface Missing
{
    String echo(String text);
}

package com.acme;

import java.io.Serializable;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** A value that Hessian has to take apart and put together again. */
public class Parcel implements Serializable
{
    private static final long serialVersionUID = 1L;

    private String name;
    private long weight;
    private double price;
    private List<String> tags;
    private Map<String, Integer> parts;
    private Parcel inner;

    public String getName()
    {
        return name;
    }

    public void setName(String name)
    {
        this.name = name;
    }

    public long getWeight()
    {
        return weight;
    }

    public void setWeight(long weight)
    {
        this.weight = weight;
    }

    public double getPrice()
    {
        return price;
    }

    public void setPrice(double price)
    {
        this.price = price;
    }

    public List<String> getTags()
    {
        return tags;
    }

    public void setTags(List<String> tags)
    {
        this.tags = tags;
    }

    public Map<String, Integer> getParts()
    {
        return parts;
    }

    public void setParts(Map<String, Integer> parts)
    {
        this.parts = parts;
    }

    public Parcel getInner()
    {
        return inner;
    }

    public void setInner(Parcel inner)
    {
        this.inner = inner;
    }

    @Override
    public boolean equals(Object other)
    {
        return other instanceof Parcel p && weight == p.weight && price == p.price && Objects.equals(name, p.name)
            && Objects.equals(tags, p.tags) && Objects.equals(parts, p.parts) && Objects.equals(inner, p.inner);
    }

    @Override
    public int hashCode()
    {
        return Objects.hash(name, weight, price, tags, parts, inner);
    }
}

"""What drivers and object mappers need beyond an address; each module is imported with its driver."""

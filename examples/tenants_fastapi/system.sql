CREATE TABLE workspace (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,30}$')
);

CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner text NOT NULL UNIQUE,
    cents bigint NOT NULL CHECK (cents >= 0)
);

INSERT INTO accounts (owner, cents) VALUES ('bank', 1000000);

CREATE TABLE entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    author text NOT NULL CHECK (author <> ''),
    words text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO entries (author, words) VALUES ('host', 'Welcome!');

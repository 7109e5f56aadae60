-- What readers see; the truth is in the events.
CREATE TABLE shelf (
    book uuid PRIMARY KEY,
    title text NOT NULL,
    lent_to text
);

-- What an application has of its own.
CREATE TABLE orders (
    id text PRIMARY KEY,
    owner_id text NOT NULL,
    total integer NOT NULL
);

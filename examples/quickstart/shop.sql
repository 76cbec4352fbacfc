-- A small shop: three tables, and the rights of the login that Chaperone uses. Card numbers are the payment networks' test
-- numbers; the social security numbers were never issued.
CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL, ssn text NOT NULL, card text);
CREATE TABLE tickets (id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers, subject text NOT NULL, status text NOT NULL DEFAULT 'open');
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers, total numeric(10,2) NOT NULL, card text);

INSERT INTO customers VALUES
  (1, 'Ada Lovelace', 'ada@example.com', '123-45-6789', '4111111111111111'),
  (2, 'Grace Hopper', 'grace@example.com', '987-65-4320', '5500005555555559'),
  (3, 'Edsger Dijkstra', 'edsger@example.com', '219-09-9999', NULL);
INSERT INTO tickets VALUES
  (1, 1, 'Cannot sign in', 'open'), (2, 2, 'Refund of order 102', 'open'), (3, 3, 'Change my address', 'waiting');
INSERT INTO orders VALUES (101, 1, 42.50, '4111111111111111'), (102, 2, 17.00, '5500005555555559'), (103, 1, 5.25, NULL);

GRANT SELECT ON customers, tickets, orders TO support_agent;
GRANT UPDATE (status) ON tickets TO support_agent;
GRANT UPDATE (total) ON orders TO support_agent;

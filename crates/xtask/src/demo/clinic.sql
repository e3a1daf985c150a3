-- A sample clinic: 50,000 patients, 150,000 visits, 150,000 notes. Everything is made up from numbers by md5, so it is
-- the same on every machine; any likeness is chance. It holds what the law calls PHI, in columns and in free text.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
BEGIN;

-- A number below `below` for the `use`-th property of row `i`.
CREATE FUNCTION pg_temp.pick(i bigint, use text, below int) RETURNS int
LANGUAGE sql IMMUTABLE AS $$ SELECT (('x' || substr(md5(i || use), 1, 7))::bit(28)::int % below) $$;

CREATE FUNCTION pg_temp.one(i bigint, use text, words text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT words[1 + pg_temp.pick(i, use, cardinality(words))] $$;

CREATE TABLE patients (
    id          bigint PRIMARY KEY,
    mrn         text NOT NULL UNIQUE,
    first_name  text NOT NULL,
    last_name   text NOT NULL,
    birth_date  date NOT NULL,
    sex         char(1) NOT NULL,
    ssn         text NOT NULL,
    email       text NOT NULL,
    phone       text NOT NULL,
    street      text NOT NULL,
    city        text NOT NULL,
    state       char(2) NOT NULL,
    zip         text NOT NULL,
    insurer     text NOT NULL,
    created_at  timestamptz NOT NULL
);

INSERT INTO patients
SELECT i,
       'MRN-' || lpad((100000 + i * 7 % 900000)::text, 6, '0') || '-' || lpad((i % 97)::text, 2, '0'),
       first, last,
       date '1930-01-01' + pg_temp.pick(i, 'born', 33500),
       CASE pg_temp.pick(i, 'sex', 2) WHEN 0 THEN 'F' ELSE 'M' END,
       lpad((100 + pg_temp.pick(i, 'area', 560))::text, 3, '0') || '-'
           || lpad((1 + pg_temp.pick(i, 'group', 98))::text, 2, '0') || '-'
           || lpad((1 + pg_temp.pick(i, 'serial', 9998))::text, 4, '0'),
       translate(lower(first || '.' || last), 'áéíóúüë', 'aeiouue') || i || '@'
           || pg_temp.one(i, 'host', ARRAY['example.com', 'example.org', 'example.net', 'mail.example']),
       '(' || (201 + pg_temp.pick(i, 'prefix', 780)) || ') 555-' || lpad(pg_temp.pick(i, 'line', 10000)::text, 4, '0'),
       (1 + pg_temp.pick(i, 'house', 9800)) || ' ' || pg_temp.one(i, 'street', ARRAY['Oak St', 'Maple Ave', 'Cedar Ln',
           'Elm St', 'Lake Dr', 'Hill Rd', 'Park Ave', 'Church St', 'River Rd', 'Sunset Blvd']),
       pg_temp.one(i, 'city', ARRAY['Springfield', 'Riverton', 'Fairview', 'Georgetown', 'Salem', 'Franklin', 'Clinton',
           'Madison', 'Arlington', 'Ashland', 'Dover', 'Oxford']),
       pg_temp.one(i, 'state', ARRAY['CA', 'NY', 'TX', 'WA', 'OR', 'IL', 'OH', 'MA', 'CO', 'GA', 'VA', 'MN']),
       lpad(pg_temp.pick(i, 'zip', 99999)::text, 5, '0'),
       pg_temp.one(i, 'insurer', ARRAY['Blue Shield', 'Acme Health', 'Northwind Care', 'Medicare', 'Medicaid', 'Self-pay']),
       timestamptz '2015-01-01 08:00Z' + pg_temp.pick(i, 'since', 4000) * interval '1 day'
FROM (
    SELECT i,
           pg_temp.one(i, 'first', ARRAY['Olivia', 'Liam', 'Emma', 'Noah', 'Amelia', 'Oliver', 'Sofía', 'Elijah', 'Mia',
               'Lucas', 'Chloë', 'Mateo', 'Ava', 'Ezra', 'Aaliyah', 'Kai', 'Priya', 'Hiro', 'Fatima', 'Jürgen', 'Ngozi',
               'Wei', 'Anna', 'Tomás', 'Ingrid', 'Samuel', 'Grace', 'Henry', 'Leila', 'Oscar']) AS first,
           pg_temp.one(i, 'last', ARRAY['Smith', 'Nguyen', 'García', 'Johnson', 'Patel', 'Williams', 'Kim', 'Brown',
               'OBrien', 'Müller', 'Okafor', 'Jones', 'Rossi', 'Davis', 'Haddad', 'Miller', 'Silva', 'Wilson', 'Tanaka',
               'Moore', 'Novak', 'Taylor', 'Andersen', 'Lopez', 'Cohen', 'Young', 'Dubois', 'Wright', 'Ivanov', 'Hill']) AS last
    FROM generate_series(1, 50000) AS i
) AS named;

CREATE TABLE visits (
    id          bigint PRIMARY KEY,
    patient_id  bigint NOT NULL REFERENCES patients,
    visited_at  timestamptz NOT NULL,
    department  text NOT NULL,
    physician   text NOT NULL,
    diagnosis   text NOT NULL,
    systolic    int NOT NULL,
    diastolic   int NOT NULL,
    cost_cents  bigint NOT NULL
);

INSERT INTO visits
SELECT v,
       1 + v % 50000,
       timestamptz '2022-01-03 08:00Z' + pg_temp.pick(v, 'day', 1600) * interval '1 day'
           + pg_temp.pick(v, 'minute', 540) * interval '1 minute',
       pg_temp.one(v, 'department', ARRAY['Cardiology', 'Oncology', 'Pediatrics', 'Emergency', 'Psychiatry', 'Radiology',
           'Orthopedics', 'Primary care']),
       'Dr. ' || pg_temp.one(v, 'physician', ARRAY['Adler', 'Bose', 'Castro', 'Dupont', 'Eze', 'Fischer', 'Gupta', 'Hale']),
       pg_temp.one(v, 'diagnosis', ARRAY['I10', 'E11.9', 'J45.909', 'F41.1', 'M54.5', 'Z00.00', 'C50.919', 'K21.9', 'N39.0',
           'R07.9']),
       100 + pg_temp.pick(v, 'systolic', 70),
       60 + pg_temp.pick(v, 'diastolic', 40),
       5000 + pg_temp.pick(v, 'cost', 400000)
FROM generate_series(1, 150000) AS v;

CREATE TABLE notes (
    id          bigint PRIMARY KEY,
    visit_id    bigint NOT NULL REFERENCES visits,
    author      text NOT NULL,
    written_at  timestamptz NOT NULL,
    body        text NOT NULL
);

INSERT INTO notes
SELECT v.id, v.id, v.physician, v.visited_at + interval '20 minutes',
       CASE pg_temp.pick(v.id, 'form', 4)
           WHEN 0 THEN format(
               E'%s %s (DOB %s, %s) seen in %s for %s.\nBP %s/%s. Call back at %s or write to %s. Next visit in %s weeks.',
               p.first_name, p.last_name, to_char(p.birth_date, 'MM/DD/YYYY'), p.mrn, v.department, v.diagnosis,
               v.systolic, v.diastolic, p.phone, p.email, 1 + pg_temp.pick(v.id, 'weeks', 12))
           WHEN 1 THEN format(
               'Patient identified by SSN %s, born %s. Lives at %s, %s %s %s. Reports chest pain since Monday; ECG normal.',
               p.ssn, p.birth_date, p.street, p.city, p.state, p.zip)
           WHEN 2 THEN format(
               E'Spoke with the mother of %s %s. Insurance: %s. Prior record %s merged.\nPlan: continue metformin 500 mg, A1c in 3 months.',
               p.first_name, p.last_name, p.insurer, p.mrn)
           ELSE format(
               'No change since last visit. Vitals %s/%s. Patient asks that results go to %s and not to the employer.',
               v.systolic, v.diastolic, p.email)
       END
FROM visits v JOIN patients p ON p.id = v.patient_id;

CREATE INDEX visits_of_patient ON visits (patient_id);
CREATE INDEX patients_by_name ON patients (last_name, first_name);
COMMIT;
ANALYZE;

--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: task_type; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.task_type AS ENUM (
    'phone',
    'email',
    'gpt'
);


--
-- Name: keep_ids_new(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.keep_ids_new() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    now_on CONSTANT TEXT := server_timeline();
    ids    CONSTANT REGCLASS := pg_get_serial_sequence('ledger', 'id');
BEGIN
    UPDATE id_timeline SET timeline = now_on WHERE timeline <> now_on;
    IF FOUND THEN
        PERFORM setval(ids, greatest(
            nextval(ids) + 1000000000, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint));
    END IF;
    RETURN NULL;
END
$$;


--
-- Name: server_timeline(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.server_timeline() RETURNS text
    LANGUAGE plpgsql
    AS $$
BEGIN
    RETURN left(pg_walfile_name(pg_current_wal_lsn()), 8);
EXCEPTION WHEN OTHERS THEN
    RETURN 'unknown';
END
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: circuits; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.circuits (
    provider text NOT NULL,
    state text NOT NULL,
    why text NOT NULL,
    since timestamp with time zone NOT NULL,
    probes integer NOT NULL,
    probe_at timestamp with time zone NOT NULL,
    prober text NOT NULL,
    found_by text NOT NULL
)
WITH (fillfactor='50');


--
-- Name: TABLE circuits; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.circuits IS 'Providers that have no good answer to anything. No row: its circuit is closed.';


--
-- Name: COLUMN circuits.provider; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.circuits.provider IS 'The provider''s name.';


--
-- Name: COLUMN circuits.state; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.circuits.state IS 'unavailable, refused (it refuses our account) or misconfigured (it rejects every task).';


--
-- Name: COLUMN circuits.why; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.circuits.why IS 'What it answered last.';


--
-- Name: COLUMN circuits.since; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.circuits.since IS 'When the failures began.';


--
-- Name: COLUMN circuits.probes; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.circuits.probes IS 'Probes that have failed.';


--
-- Name: COLUMN circuits.probe_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.circuits.probe_at IS 'When the next probe may start; if there is a prober, when its probe is given up.';


--
-- Name: COLUMN circuits.prober; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.circuits.prober IS 'The replica that may send the probe; empty if none may yet.';


--
-- Name: COLUMN circuits.found_by; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.circuits.found_by IS 'The only replica that has found it; empty if several have.';


--
-- Name: id_timeline; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.id_timeline (
    timeline text NOT NULL
);


--
-- Name: TABLE id_timeline; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.id_timeline IS 'One row: the timeline in which the ledger gives ids.';


--
-- Name: COLUMN id_timeline.timeline; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.id_timeline.timeline IS 'PostgreSQL''s number for it, as in the names of its WAL files. If it differs, ids jump with the next row.';


--
-- Name: idempotency_keys; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.idempotency_keys (
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    topic_id text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE idempotency_keys; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.idempotency_keys IS 'Which record each idempotency key belongs to. Deleted when the record fails, and some weeks after it succeeded.';


--
-- Name: COLUMN idempotency_keys.key; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.idempotency_keys.key IS 'The caller''s own word, up to 255 visible ASCII characters.';


--
-- Name: COLUMN idempotency_keys.fingerprint; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.idempotency_keys.fingerprint IS 'Of the task''s type and data: the same key with another task is refused.';


--
-- Name: COLUMN idempotency_keys.topic_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.idempotency_keys.topic_id IS 'Of the record''s position, as in the ledger.';


--
-- Name: COLUMN idempotency_keys.partition; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.idempotency_keys.partition IS 'Of the record''s position, as in the ledger.';


--
-- Name: COLUMN idempotency_keys."offset"; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.idempotency_keys."offset" IS 'Of the record''s position, as in the ledger.';


--
-- Name: COLUMN idempotency_keys.made_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.idempotency_keys.made_at IS 'From which its days are counted.';


--
-- Name: integration_service; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.integration_service (
    id bigint NOT NULL,
    data jsonb NOT NULL,
    task_type public.task_type NOT NULL
);


--
-- Name: TABLE integration_service; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.integration_service IS 'One row for each task that a provider answered.';


--
-- Name: COLUMN integration_service.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.integration_service.id IS 'Drawn by the ledger when the task''s record is entered there; the id in the result.';


--
-- Name: COLUMN integration_service.data; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.integration_service.data IS 'What the provider answered. Personal data.';


--
-- Name: COLUMN integration_service.task_type; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.integration_service.task_type IS 'Which provider answered.';


--
-- Name: leases; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.leases (
    quota text NOT NULL,
    replica text NOT NULL,
    slots integer NOT NULL,
    awaited integer NOT NULL,
    backlog integer NOT NULL,
    unserved_from timestamp with time zone,
    rejections integer NOT NULL,
    answered_at timestamp with time zone,
    held_seconds double precision NOT NULL,
    valid_until timestamp with time zone NOT NULL
)
WITH (fillfactor='50');


--
-- Name: TABLE leases; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.leases IS 'How many slots of a provider''s quota each replica has, and how many it wants.';


--
-- Name: COLUMN leases.quota; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leases.quota IS 'The provider''s name, or its name and "connections".';


--
-- Name: COLUMN leases.replica; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leases.replica IS 'Drawn by each process when it starts.';


--
-- Name: COLUMN leases.slots; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leases.slots IS 'Slots that the replica has.';


--
-- Name: COLUMN leases.awaited; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leases.awaited IS 'Slots that it wants for records that somebody waits for.';


--
-- Name: COLUMN leases.backlog; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leases.backlog IS 'Slots that it wants for other records, and those that its requests hold.';


--
-- Name: COLUMN leases.unserved_from; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leases.unserved_from IS 'Since when it wants slots and has none; NULL if it has some or wants none.';


--
-- Name: COLUMN leases.rejections; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leases.rejections IS 'Tasks that the provider has rejected in a row, as this replica sees it.';


--
-- Name: COLUMN leases.answered_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leases.answered_at IS 'When the replica''s last request began that the provider has answered.';


--
-- Name: COLUMN leases.held_seconds; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leases.held_seconds IS 'How long a request of the replica may hold its slot.';


--
-- Name: COLUMN leases.valid_until; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leases.valid_until IS 'When the lease ends, unless it is renewed.';


--
-- Name: ledger; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ledger (
    topic_id text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    id bigint NOT NULL
);


--
-- Name: TABLE ledger; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ledger IS 'Positions of the import topic that are done. Entries are deleted once Kafka has deleted their records.';


--
-- Name: COLUMN ledger.topic_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ledger.topic_id IS 'Kafka''s own id of the topic, not its name: a topic made again starts at offset 0 again.';


--
-- Name: COLUMN ledger.partition; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ledger.partition IS 'Partition of the record.';


--
-- Name: COLUMN ledger."offset"; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ledger."offset" IS 'Offset of the record.';


--
-- Name: COLUMN ledger.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ledger.id IS 'integration_service.id of the record''s row. No foreign key: rows may be deleted, positions stay done.';


--
-- Name: ledger_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.ledger ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ledger_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: lent_deadlines; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.lent_deadlines (
    topic_id text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    awaited_until timestamp with time zone NOT NULL
);


--
-- Name: TABLE lent_deadlines; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.lent_deadlines IS 'Records that are awaited because others with their idempotency key are.';


--
-- Name: COLUMN lent_deadlines.topic_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.lent_deadlines.topic_id IS 'Of the record''s position, as in the ledger.';


--
-- Name: COLUMN lent_deadlines.partition; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.lent_deadlines.partition IS 'Of the record''s position, as in the ledger.';


--
-- Name: COLUMN lent_deadlines."offset"; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.lent_deadlines."offset" IS 'Of the record''s position, as in the ledger.';


--
-- Name: COLUMN lent_deadlines.awaited_until; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.lent_deadlines.awaited_until IS 'Until when somebody waits. Deleted then.';


--
-- Name: redriven; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.redriven (
    topic_id text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL
);


--
-- Name: TABLE redriven; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.redriven IS 'Positions of the dead-letter topic that were put back on the import topic. Deleted once Kafka has deleted the dead letters.';


--
-- Name: COLUMN redriven.topic_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.redriven.topic_id IS 'Kafka''s own id of the dead-letter topic.';


--
-- Name: COLUMN redriven.partition; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.redriven.partition IS 'Partition of the dead letter.';


--
-- Name: COLUMN redriven."offset"; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.redriven."offset" IS 'Offset of the dead letter.';


--
-- Data for Name: id_timeline; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.id_timeline (timeline) FROM stdin;
00000001
\.


--
-- Data for Name: idempotency_keys; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.idempotency_keys (key, fingerprint, topic_id, partition, "offset", made_at) FROM stdin;
\.


--
-- Data for Name: integration_service; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.integration_service (id, data, task_type) FROM stdin;
1	{"qc": 4, "type": "PERSONAL", "email": "serega@yandex.ru", "local": "serega", "domain": "yandex.ru", "source": "serega@yandex/ru"}	email
2	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 916 823-34-54", "number": "8233454", "region": "Москва и Московская область", "source": "8 916 823 34 54", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "916", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
3	{"qc": 0, "city": null, "type": "Стационарный", "phone": "+7 846 231-60-14", "number": "2316014", "region": "Москва и Московская область", "source": "раб 846)231.60.14 *139", "country": "Россия", "provider": "ООО \\"СИПАУТНЭТ\\"", "timezone": "UTC+3", "city_code": "846", "extension": "139", "qc_conflict": 0, "country_code": "7"}	phone
4	{"usage": {"totalTokens": "25", "inputTextTokens": "11", "completionTokens": "14", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Вы спросили: To be, or not to be: that is the question."}}], "modelVersion": "09.02.2025"}	gpt
5	{"qc": 4, "type": "ROLE", "email": "info@example.com", "local": "info", "domain": "example.com", "source": "Info@Example.com"}	email
6	{"usage": {"totalTokens": "13", "inputTextTokens": "5", "completionTokens": "8", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Вы спросили: Что такое Kafka?"}}], "modelVersion": "09.02.2025"}	gpt
7	{"qc": 2, "city": null, "type": null, "phone": null, "number": null, "region": null, "source": "not a phone at all", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
8	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 985 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "+7 (985) 123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "985", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
\.


--
-- Data for Name: ledger; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.ledger (topic_id, partition, "offset", id) FROM stdin;
VTbfvdINTHeZaIcu5R3Zxg	6	0	1
VTbfvdINTHeZaIcu5R3Zxg	3	0	2
VTbfvdINTHeZaIcu5R3Zxg	2	0	3
VTbfvdINTHeZaIcu5R3Zxg	1	0	4
VTbfvdINTHeZaIcu5R3Zxg	9	0	5
VTbfvdINTHeZaIcu5R3Zxg	10	0	6
VTbfvdINTHeZaIcu5R3Zxg	0	0	7
VTbfvdINTHeZaIcu5R3Zxg	2	1	8
\.


--
-- Data for Name: redriven; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.redriven (topic_id, partition, "offset") FROM stdin;
\.


--
-- Name: ledger_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.ledger_id_seq', 8, true);


--
-- Name: circuits circuits_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.circuits
    ADD CONSTRAINT circuits_pkey PRIMARY KEY (provider);


--
-- Name: idempotency_keys idempotency_keys_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key);


--
-- Name: idempotency_keys idempotency_keys_topic_id_partition_offset_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_topic_id_partition_offset_key UNIQUE (topic_id, partition, "offset");


--
-- Name: integration_service integration_service_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.integration_service
    ADD CONSTRAINT integration_service_pkey PRIMARY KEY (id);


--
-- Name: leases leases_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (quota, replica);


--
-- Name: ledger ledger_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger
    ADD CONSTRAINT ledger_pkey PRIMARY KEY (topic_id, partition, "offset");


--
-- Name: lent_deadlines lent_deadlines_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.lent_deadlines
    ADD CONSTRAINT lent_deadlines_pkey PRIMARY KEY (topic_id, partition, "offset");


--
-- Name: redriven redriven_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.redriven
    ADD CONSTRAINT redriven_pkey PRIMARY KEY (topic_id, partition, "offset");


--
-- Name: ledger keep_ids_new; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER keep_ids_new BEFORE INSERT ON public.ledger FOR EACH STATEMENT EXECUTE FUNCTION public.keep_ids_new();


--
-- PostgreSQL database dump complete
--



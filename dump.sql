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


SET default_tablespace = '';

SET default_table_access_method = heap;

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
-- Data for Name: idempotency_keys; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.idempotency_keys (key, fingerprint, topic_id, partition, "offset", made_at) FROM stdin;
\.


--
-- Data for Name: integration_service; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.integration_service (id, data, task_type) FROM stdin;
1	{"qc": 4, "type": "PERSONAL", "email": "serega@yandex.ru", "local": "serega", "domain": "yandex.ru", "source": "serega@yandex/ru"}	email
2	{"qc": 0, "city": null, "type": "Стационарный", "phone": "+7 846 231-60-14", "number": "2316014", "region": "Москва и Московская область", "source": "раб 846)231.60.14 *139", "country": "Россия", "provider": "ООО \\"СИПАУТНЭТ\\"", "timezone": "UTC+3", "city_code": "846", "extension": "139", "qc_conflict": 0, "country_code": "7"}	phone
3	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 916 823-34-54", "number": "8233454", "region": "Москва и Московская область", "source": "8 916 823 34 54", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "916", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
4	{"usage": {"totalTokens": "25", "inputTextTokens": "11", "completionTokens": "14", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Вы спросили: To be, or not to be: that is the question."}}], "modelVersion": "09.02.2025"}	gpt
5	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 985 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "+7 (985) 123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "985", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
6	{"qc": 4, "type": "ROLE", "email": "info@example.com", "local": "info", "domain": "example.com", "source": "Info@Example.com"}	email
7	{"usage": {"totalTokens": "13", "inputTextTokens": "5", "completionTokens": "8", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Вы спросили: Что такое Kafka?"}}], "modelVersion": "09.02.2025"}	gpt
8	{"qc": 2, "city": null, "type": null, "phone": null, "number": null, "region": null, "source": "not a phone at all", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
\.


--
-- Data for Name: ledger; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.ledger (topic_id, partition, "offset", id) FROM stdin;
C2qwhTCqTJGShaKXL2REZA	11	0	1
C2qwhTCqTJGShaKXL2REZA	9	0	2
C2qwhTCqTJGShaKXL2REZA	5	0	3
C2qwhTCqTJGShaKXL2REZA	1	0	4
C2qwhTCqTJGShaKXL2REZA	5	1	5
C2qwhTCqTJGShaKXL2REZA	5	2	6
C2qwhTCqTJGShaKXL2REZA	5	3	7
C2qwhTCqTJGShaKXL2REZA	5	4	8
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
-- Name: ledger ledger_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger
    ADD CONSTRAINT ledger_pkey PRIMARY KEY (topic_id, partition, "offset");


--
-- Name: redriven redriven_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.redriven
    ADD CONSTRAINT redriven_pkey PRIMARY KEY (topic_id, partition, "offset");


--
-- PostgreSQL database dump complete
--



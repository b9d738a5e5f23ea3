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
order-4012	\\x86e6799a9b3f0ab9e06e45ee3bf26c29	VTbfvdINTHeZaIcu5R3Zxg	9	2	2026-11-30 08:59:21.80924+00
order-4024	\\x8dcc46d97adccaa2edfbcf92fe0a68cf	VTbfvdINTHeZaIcu5R3Zxg	11	3	2026-11-30 08:59:22.46151+00
order-4036	\\x50b415efdb8c80917ccb7472c2be9a32	VTbfvdINTHeZaIcu5R3Zxg	10	2	2026-11-30 08:59:23.116417+00
order-4048	\\x8d8187386e4911d022b6e4b5c0773f72	VTbfvdINTHeZaIcu5R3Zxg	6	2	2026-11-30 08:59:23.765223+00
order-4060	\\x3eff4f89ea6456bbaaf348bb92068e4d	VTbfvdINTHeZaIcu5R3Zxg	6	4	2026-11-30 08:59:24.409499+00
order-4072	\\xca6e1d58639971c153b8e559c3e22824	VTbfvdINTHeZaIcu5R3Zxg	3	7	2026-11-30 08:59:25.056443+00
order-4084	\\x5656b264365971c22d263ef0c5d99d8c	VTbfvdINTHeZaIcu5R3Zxg	1	7	2026-11-30 08:59:25.703765+00
order-4096	\\xa34f46a6038c5ca7563abe3453f26a05	VTbfvdINTHeZaIcu5R3Zxg	4	10	2026-11-30 08:59:26.348116+00
order-4108	\\x418b16c522209c45c7a44d47a9a3170a	VTbfvdINTHeZaIcu5R3Zxg	4	11	2026-11-30 08:59:26.990061+00
order-4120	\\x8558efef777ae0ac1c8b3d76e15c337b	VTbfvdINTHeZaIcu5R3Zxg	8	3	2026-11-30 08:59:27.626596+00
order-4132	\\x9825369f9f725c5d9640bd678f70bfe2	VTbfvdINTHeZaIcu5R3Zxg	9	14	2026-11-30 08:59:28.27672+00
order-4144	\\x93bf6edc944f83e396c17c9adcf4cb03	VTbfvdINTHeZaIcu5R3Zxg	3	14	2026-11-30 08:59:28.920326+00
order-4156	\\x8b6cdae7abc40a8a5cff39b6028101d1	VTbfvdINTHeZaIcu5R3Zxg	2	17	2026-11-30 08:59:29.555455+00
order-4168	\\x13aa15ea5636a837048eccc23c2bfbc6	VTbfvdINTHeZaIcu5R3Zxg	2	18	2026-11-30 08:59:30.192554+00
order-4180	\\xc9a0944294a5711fcacdbcb70210b724	VTbfvdINTHeZaIcu5R3Zxg	10	13	2026-11-30 08:59:30.833183+00
order-4192	\\x577af91ed8e1553900c7fd820a88ffd7	VTbfvdINTHeZaIcu5R3Zxg	7	20	2026-11-30 08:59:31.474267+00
order-4204	\\x811cd96fd16c938e30bb8534e2857e91	VTbfvdINTHeZaIcu5R3Zxg	6	12	2026-11-30 08:59:32.111479+00
order-4216	\\x84ce5fcea4f85d1e3793f61239f3df43	VTbfvdINTHeZaIcu5R3Zxg	3	20	2026-11-30 08:59:32.757819+00
order-4228	\\xdf344cd3ce6324ce28e52adb456521ac	VTbfvdINTHeZaIcu5R3Zxg	7	23	2026-11-30 08:59:33.43572+00
order-4240	\\x5729404bfffc7adf80e1df0827aa9cbd	VTbfvdINTHeZaIcu5R3Zxg	7	25	2026-11-30 08:59:34.079143+00
order-4252	\\xa85b5ac9e1a7f833aab2618bc5a032dd	VTbfvdINTHeZaIcu5R3Zxg	6	15	2026-11-30 08:59:34.717665+00
order-4264	\\xacf534abb5137375d726517b960a36f3	VTbfvdINTHeZaIcu5R3Zxg	0	23	2026-11-30 08:59:35.361222+00
order-4276	\\x68276e120d54847d290637d5431bb123	VTbfvdINTHeZaIcu5R3Zxg	5	18	2026-11-30 08:59:36.00195+00
order-4288	\\xfaadc851551476e8990123e4da871852	VTbfvdINTHeZaIcu5R3Zxg	1	27	2026-11-30 08:59:36.64334+00
order-4299	\\x354880edf021d21e354316d2a2b23827	VTbfvdINTHeZaIcu5R3Zxg	11	18	2026-11-30 08:59:38.096525+00
order-4300	\\x7eff798272b9d6e1fcc292407d143954	VTbfvdINTHeZaIcu5R3Zxg	9	26	2026-11-30 08:59:38.197323+00
order-4301	\\xd293b0044c564db5d2415c5ecd4d3860	VTbfvdINTHeZaIcu5R3Zxg	1	29	2026-11-30 08:59:38.209259+00
order-4302	\\x7923a8136d0608a156091834605fb864	VTbfvdINTHeZaIcu5R3Zxg	5	20	2026-11-30 08:59:38.219855+00
order-4303	\\xa91b81dbf9fbe297a7a017320dcfc4eb	VTbfvdINTHeZaIcu5R3Zxg	6	22	2026-11-30 08:59:38.231518+00
order-4304	\\xa46dfe896bb15495ee2444022fe570d2	VTbfvdINTHeZaIcu5R3Zxg	9	27	2026-11-30 08:59:38.243974+00
order-4305	\\x8fd9aa11d5a4195e512d23f72d9e1f42	VTbfvdINTHeZaIcu5R3Zxg	2	31	2026-11-30 08:59:38.255252+00
order-4306	\\x9474d9328e0dd54e1837754011d4dcc5	VTbfvdINTHeZaIcu5R3Zxg	6	23	2026-11-30 08:59:38.266431+00
order-4307	\\x736cc31aab73f52c55aed4da8b286b9d	VTbfvdINTHeZaIcu5R3Zxg	7	31	2026-11-30 08:59:38.276569+00
order-4308	\\xf0f43242c9c67619d3ac28c7cf916c41	VTbfvdINTHeZaIcu5R3Zxg	3	27	2026-11-30 08:59:38.286787+00
order-4309	\\x96bfbda0505f29be830b52dbae561f22	VTbfvdINTHeZaIcu5R3Zxg	3	28	2026-11-30 08:59:38.297062+00
order-4310	\\xa54d610af0b816dd27c20c923b371495	VTbfvdINTHeZaIcu5R3Zxg	7	32	2026-11-30 08:59:38.308585+00
\.


--
-- Data for Name: integration_service; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.integration_service (id, data, task_type) FROM stdin;
1	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 916 823-34-54", "number": "8233454", "region": "Москва и Московская область", "source": "8 916 823 34 54", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "916", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
2	{"qc": 4, "type": "PERSONAL", "email": "serega@yandex.ru", "local": "serega", "domain": "yandex.ru", "source": "serega@yandex/ru"}	email
3	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 905 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "89051112233", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "905", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
4	{"qc": 7, "city": null, "type": "Стационарный", "phone": "+995  123456789", "number": "123456789", "region": null, "source": "+995 12 345 67 89", "country": "Грузия", "provider": null, "timezone": "UTC+4", "city_code": null, "extension": null, "qc_conflict": 0, "country_code": "995"}	phone
5	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 900 765-43-21", "number": "7654321", "region": "Санкт-Петербург и Ленинградская область", "source": "900 765 43 21", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "900", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
6	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 961 111-22-33", "number": "1112233", "region": "Краснодарский край", "source": "+7 961 111-22-33", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "961", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
7	{"qc": 0, "city": "Омск", "type": "Стационарный", "phone": "+7 3812 23-45-67 доб. 12", "number": "234567", "region": "Омская область", "source": "тел. +7 3812 234567*12", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+6", "city_code": "3812", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
8	{"usage": {"totalTokens": "54", "inputTextTokens": "7", "completionTokens": "47", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Код 429 (Too Many Requests) означает, что клиент отправил слишком много запросов за короткое время. Повторите запрос позже; сколько ждать, сервер может указать в заголовке Retry-After."}}], "modelVersion": "09.02.2025"}	gpt
9	{"qc": 0, "city": "Самара", "type": "Стационарный", "phone": "+7 846 222-33-44 доб. 101", "number": "2223344", "region": "Самарская область", "source": "8 (846) 222-33-44 доб. 101", "country": "Россия", "provider": "ООО \\"СИПАУТНЭТ\\"", "timezone": "UTC+4", "city_code": "846", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
10	{"usage": {"totalTokens": "35", "inputTextTokens": "20", "completionTokens": "15", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Согласно договору, оплата производится в течение трёх дней."}}], "modelVersion": "09.02.2025"}	gpt
11	{"qc": 1, "type": null, "email": null, "local": null, "domain": null, "source": "chichikov@"}	email
12	{"qc": 0, "type": "PERSONAL", "email": "bolkonsky.1869@rambler.ru", "local": "bolkonsky.1869", "domain": "rambler.ru", "source": "bolkonsky.1869@rambler.ru"}	email
13	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 913 765-43-21", "number": "7654321", "region": "Новосибирская область", "source": "+7(913)7654321", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+7", "city_code": "913", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
14	{"qc": 2, "type": null, "email": null, "local": null, "domain": null, "source": "-"}	email
15	{"qc": 0, "city": "Самара", "type": "Стационарный", "phone": "+7 846 123-45-67 доб. 12", "number": "1234567", "region": "Самарская область", "source": "тел. +7 846 1234567*12", "country": "Россия", "provider": "ООО \\"СИПАУТНЭТ\\"", "timezone": "UTC+4", "city_code": "846", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
16	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 911 243-45-68", "number": "2434568", "region": "Санкт-Петербург и Ленинградская область", "source": "+7 911 243-45-68", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "911", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
17	{"qc": 0, "type": "PERSONAL", "email": "chichikov.1842@bk.ru", "local": "chichikov.1842", "domain": "bk.ru", "source": "chichikov.1842@bk.ru"}	email
18	{"qc": 0, "type": "CORPORATE", "email": "vorobyaninov@samovar-i-chay.example", "local": "vorobyaninov", "domain": "samovar-i-chay.example", "source": "vorobyaninov@samovar-i-chay.example"}	email
19	{"qc": 1, "type": null, "email": null, "local": null, "domain": null, "source": "alice@"}	email
20	{"qc": 2, "city": null, "type": null, "phone": null, "number": null, "region": null, "source": "-", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
21	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 931 765-43-21", "number": "7654321", "region": "Санкт-Петербург и Ленинградская область", "source": "8-931-765-43-21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "931", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
22	{"qc": 7, "city": null, "type": "Стационарный", "phone": "+375  123456789", "number": "123456789", "region": null, "source": "+375 12 345 67 89", "country": "Беларусь", "provider": null, "timezone": "UTC+3", "city_code": null, "extension": null, "qc_conflict": 0, "country_code": "375"}	phone
106	{"qc": 4, "type": "PERSONAL", "email": "plyushkin.1842@mail.ru", "local": "plyushkin.1842", "domain": "mail.ru", "source": "plyushkin.1842@ mail.ru"}	email
23	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 921 123-45-67", "number": "1234567", "region": "Санкт-Петербург и Ленинградская область", "source": "8 (921) 123-45-67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "921", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
24	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 922 765-43-21", "number": "7654321", "region": "Свердловская область", "source": "+7 922 765-43-21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+5", "city_code": "922", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
25	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 937 111-22-33", "number": "1112233", "region": "Самарская область", "source": "моб. 8 937 111 22 33", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+4", "city_code": "937", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
26	{"qc": 0, "type": "CORPORATE", "email": "rostova@roga-i-kopyta.example", "local": "rostova", "domain": "roga-i-kopyta.example", "source": "rostova@roga-i-kopyta.example"}	email
27	{"qc": 2, "city": null, "type": null, "phone": null, "number": null, "region": null, "source": "не звонить!", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
28	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 925 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "8 (925) 123-45-67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "925", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
29	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 923 765-43-21", "number": "7654321", "region": "Новосибирская область", "source": "моб. 8 923 765 43 21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+7", "city_code": "923", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
30	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 930 111-22-33", "number": "1112233", "region": "Нижегородская область", "source": "+7(930)1112233", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "930", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
31	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 928 765-43-21", "number": "7654321", "region": "Краснодарский край", "source": "моб. 8 928 765 43 21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "928", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
32	{"usage": {"totalTokens": "22", "inputTextTokens": "19", "completionTokens": "3", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Нейтральная"}}], "modelVersion": "09.02.2025"}	gpt
33	{"qc": 7, "city": null, "type": "Стационарный", "phone": "+374  123456789", "number": "123456789", "region": null, "source": "+374 12 345 67 89", "country": "Армения", "provider": null, "timezone": "UTC+4", "city_code": null, "extension": null, "qc_conflict": 0, "country_code": "374"}	phone
34	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 985 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "+7 985 111-22-33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "985", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
35	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 910 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "89107654321", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "910", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
36	{"qc": 0, "city": "Новосибирск", "type": "Стационарный", "phone": "+7 383 222-33-44 доб. 12", "number": "2223344", "region": "Новосибирская область", "source": "тел. +7 383 2223344*12", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+7", "city_code": "383", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
37	{"usage": {"totalTokens": "10", "inputTextTokens": "6", "completionTokens": "4", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "17 × 24 = 408."}}], "modelVersion": "09.02.2025"}	gpt
38	{"qc": 0, "type": "CORPORATE", "email": "raskolnikov@roga-i-kopyta.example", "local": "raskolnikov", "domain": "roga-i-kopyta.example", "source": "raskolnikov@roga-i-kopyta.example"}	email
39	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 921 765-43-21", "number": "7654321", "region": "Санкт-Петербург и Ленинградская область", "source": "+7(921)7654321", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "921", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
40	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 984 111-22-33", "number": "1112233", "region": "Хабаровский край", "source": "8-984-111-22-33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+10", "city_code": "984", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
41	{"qc": 2, "type": null, "email": null, "local": null, "domain": null, "source": "нет почты"}	email
42	{"qc": 4, "type": "PERSONAL", "email": "manilov.1842@mail.ru", "local": "manilov.1842", "domain": "mail.ru", "source": "manilov.1842@mail,ru"}	email
43	{"usage": {"totalTokens": "23", "inputTextTokens": "20", "completionTokens": "3", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Позитивная"}}], "modelVersion": "09.02.2025"}	gpt
107	{"qc": 0, "type": "CORPORATE", "email": "koreiko@roga-i-kopyta.example", "local": "koreiko", "domain": "roga-i-kopyta.example", "source": "koreiko@roga-i-kopyta.example"}	email
44	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 987 111-22-33", "number": "1112233", "region": "Самарская область", "source": "8-987-111-22-33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+4", "city_code": "987", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
45	{"usage": {"totalTokens": "8", "inputTextTokens": "1", "completionTokens": "7", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Hello! How can I help you?"}}], "modelVersion": "09.02.2025"}	gpt
46	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 933 123-45-67", "number": "1234567", "region": "Новосибирская область", "source": "933 123 45 67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+7", "city_code": "933", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
47	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 984 765-43-21", "number": "7654321", "region": "Хабаровский край", "source": "89847654321", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+10", "city_code": "984", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
48	{"qc": 0, "city": "Воронеж", "type": "Стационарный", "phone": "+7 473 222-33-44 доб. 12", "number": "2223344", "region": "Воронежская область", "source": "тел. +7 473 2223344*12", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+3", "city_code": "473", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
49	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 962 123-45-67", "number": "1234567", "region": "Новосибирская область", "source": "+7(962)1234567", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+7", "city_code": "962", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
50	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 915 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "+7(915)7654321", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "915", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
51	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 905 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "+7 905 765-43-21", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "905", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
52	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 950 123-45-67", "number": "1234567", "region": "Свердловская область", "source": "+7 950 123-45-67", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+5", "city_code": "950", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
53	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 928 123-45-67", "number": "1234567", "region": "Краснодарский край", "source": "8-928-123-45-67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "928", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
54	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 918 111-22-33", "number": "1112233", "region": "Краснодарский край", "source": "918 111 22 33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "918", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
55	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 985 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "+79851234567", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "985", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
56	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 999 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "8-999-111-22-33", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "999", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
57	{"qc": 0, "type": "CORPORATE", "email": "lensky@oblomovka.example", "local": "lensky", "domain": "oblomovka.example", "source": "lensky@oblomovka.example"}	email
58	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 924 765-43-21", "number": "7654321", "region": "Хабаровский край", "source": "+7(924)7654321", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+10", "city_code": "924", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
59	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 962 765-43-21", "number": "7654321", "region": "Новосибирская область", "source": "962 765 43 21", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+7", "city_code": "962", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
60	{"qc": 0, "city": "Воронеж", "type": "Стационарный", "phone": "+7 473 123-45-67", "number": "1234567", "region": "Воронежская область", "source": "8 (473) 123-45-67", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+3", "city_code": "473", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
61	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 931 111-22-33", "number": "1112233", "region": "Санкт-Петербург и Ленинградская область", "source": "моб. 8 931 111 22 33", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "931", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
62	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 926 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "89261234567", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "926", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
63	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 904 123-45-67", "number": "1234567", "region": "Нижегородская область", "source": "+7 904 123-45-67", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "904", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
64	{"qc": 1, "city": null, "type": "Неизвестный", "phone": null, "number": null, "region": null, "source": "8 916", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
65	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 933 765-43-21", "number": "7654321", "region": "Новосибирская область", "source": "+7 933 765-43-21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+7", "city_code": "933", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
66	{"qc": 0, "type": "PERSONAL", "email": "bazarov.1862@bk.ru", "local": "bazarov.1862", "domain": "bk.ru", "source": "bazarov.1862@bk.ru"}	email
67	{"qc": 0, "type": "PERSONAL", "email": "bender.1928@mail.ru", "local": "bender.1928", "domain": "mail.ru", "source": "bender.1928@mail.ru"}	email
68	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 905 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "905 123 45 67", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "905", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
69	{"qc": 0, "type": "ROLE", "email": "info@samovar-i-chay.example", "local": "info", "domain": "samovar-i-chay.example", "source": "info@samovar-i-chay.example"}	email
70	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 920 765-43-21", "number": "7654321", "region": "Нижегородская область", "source": "+7 920 765-43-21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "920", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
71	{"qc": 0, "city": "Владивосток", "type": "Стационарный", "phone": "+7 423 123-45-67 доб. 12", "number": "1234567", "region": "Приморский край", "source": "тел. +7 423 1234567*12", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+10", "city_code": "423", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
72	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 926 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "моб. 8 926 111 22 33", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "926", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
73	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 927 765-43-21", "number": "7654321", "region": "Самарская область", "source": "+7(927)7654321", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+4", "city_code": "927", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
74	{"qc": 1, "city": null, "type": "Неизвестный", "phone": null, "number": null, "region": null, "source": "+7 (9__) ___-__-__", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
75	{"qc": 0, "type": "PERSONAL", "email": "levin.1878@rambler.ru", "local": "levin.1878", "domain": "rambler.ru", "source": "levin.1878@rambler.ru"}	email
76	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 900 123-45-67", "number": "1234567", "region": "Санкт-Петербург и Ленинградская область", "source": "+7(900)1234567", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "900", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
77	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 917 765-43-21", "number": "7654321", "region": "Самарская область", "source": "8 (917) 765-43-21", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+4", "city_code": "917", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
78	{"qc": 0, "type": "PERSONAL", "email": "ranevskaya.1904@bk.ru", "local": "ranevskaya.1904", "domain": "bk.ru", "source": "ranevskaya.1904@bk.ru"}	email
79	{"usage": {"totalTokens": "24", "inputTextTokens": "21", "completionTokens": "3", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Негативная"}}], "modelVersion": "09.02.2025"}	gpt
80	{"usage": {"totalTokens": "29", "inputTextTokens": "15", "completionTokens": "14", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "The order has been handed over to the delivery service."}}], "modelVersion": "09.02.2025"}	gpt
81	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 931 123-45-67", "number": "1234567", "region": "Санкт-Петербург и Ленинградская область", "source": "89311234567", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "931", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
82	{"qc": 0, "type": "CORPORATE", "email": "molchalin@oblomovka.example", "local": "molchalin", "domain": "oblomovka.example", "source": "molchalin@oblomovka.example"}	email
83	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 962 111-22-33", "number": "1112233", "region": "Новосибирская область", "source": "+7 962 111-22-33", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+7", "city_code": "962", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
84	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 988 123-45-67", "number": "1234567", "region": "Краснодарский край", "source": "89881234567", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "988", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
220	{"qc": 3, "type": "DISPOSABLE", "email": "petya@temp-mail.ru", "local": "petya", "domain": "temp-mail.ru", "source": "petya@temp-mail.ru"}	email
85	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 988 111-22-33", "number": "1112233", "region": "Краснодарский край", "source": "моб. 8 988 111 22 33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "988", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
86	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 923 123-45-67", "number": "1234567", "region": "Новосибирская область", "source": "8-923-123-45-67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+7", "city_code": "923", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
87	{"qc": 0, "type": "CORPORATE", "email": "larina@vishnevy-sad.example", "local": "larina", "domain": "vishnevy-sad.example", "source": "larina@vishnevy-sad.example"}	email
88	{"usage": {"totalTokens": "24", "inputTextTokens": "21", "completionTokens": "3", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Доставка"}}], "modelVersion": "09.02.2025"}	gpt
89	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 910 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "+7 910 123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "910", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
90	{"usage": {"totalTokens": "41", "inputTextTokens": "11", "completionTokens": "30", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "This is the opening line of Hamlet's soliloquy in William Shakespeare's tragedy: the prince weighs life against death."}}], "modelVersion": "09.02.2025"}	gpt
91	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 904 765-43-21", "number": "7654321", "region": "Нижегородская область", "source": "89047654321", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "904", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
92	{"qc": 0, "city": "Екатеринбург", "type": "Стационарный", "phone": "+7 343 123-45-67", "number": "1234567", "region": "Свердловская область", "source": "8 (343) 123-45-67", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+5", "city_code": "343", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
93	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 953 111-22-33", "number": "1112233", "region": "Санкт-Петербург и Ленинградская область", "source": "8 (953) 111-22-33", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "953", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
94	{"qc": 7, "city": null, "type": "Стационарный", "phone": "+998  123456789", "number": "123456789", "region": null, "source": "+998 12 345 67 89", "country": "Узбекистан", "provider": null, "timezone": "UTC+5", "city_code": null, "extension": null, "qc_conflict": 0, "country_code": "998"}	phone
95	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 930 123-45-67", "number": "1234567", "region": "Нижегородская область", "source": "моб. 8 930 123 45 67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "930", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
96	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 916 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "8-916-765-43-21", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "916", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
97	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 901 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "8 (901) 111-22-33", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "901", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
98	{"qc": 0, "type": "ROLE", "email": "support@samovar-i-chay.example", "local": "support", "domain": "samovar-i-chay.example", "source": "support@samovar-i-chay.example"}	email
99	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 961 765-43-21", "number": "7654321", "region": "Краснодарский край", "source": "961 765 43 21", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "961", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
100	{"qc": 1, "type": null, "email": null, "local": null, "domain": null, "source": "hlestakov@revizor"}	email
101	{"qc": 1, "city": "Москва", "type": "Стационарный", "phone": "+7 495 716-52-19 доб. 139", "number": "7165219", "region": "Москва", "source": "тел 7165219 доб139", "country": "Россия", "provider": "ПАО \\"МГТС\\"", "timezone": "UTC+3", "city_code": "495", "extension": "139", "qc_conflict": 0, "country_code": "7"}	phone
102	{"qc": 0, "type": "PERSONAL", "email": "oblomov.1859@gmail.com", "local": "oblomov.1859", "domain": "gmail.com", "source": "oblomov.1859@gmail.com"}	email
103	{"qc": 0, "city": "Хабаровск", "type": "Стационарный", "phone": "+7 4212 22-33-44", "number": "223344", "region": "Хабаровский край", "source": "8 (4212) 22-33-44", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+10", "city_code": "4212", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
104	{"usage": {"totalTokens": "27", "inputTextTokens": "25", "completionTokens": "2", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Возврат"}}], "modelVersion": "09.02.2025"}	gpt
105	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 911 765-43-21", "number": "7654321", "region": "Санкт-Петербург и Ленинградская область", "source": "8 (911) 765-43-21", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "911", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
108	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 903 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "моб. 8 903 765 43 21", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "903", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
109	{"qc": 0, "city": "Владивосток", "type": "Стационарный", "phone": "+7 423 222-33-44 доб. 101", "number": "2223344", "region": "Приморский край", "source": "8 (423) 222-33-44 доб. 101", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+10", "city_code": "423", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
110	{"qc": 0, "type": "PERSONAL", "email": "rostova.1869@yandex.ru", "local": "rostova.1869", "domain": "yandex.ru", "source": "rostova.1869@yandex.ru"}	email
111	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 913 111-22-33", "number": "1112233", "region": "Новосибирская область", "source": "913 111 22 33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+7", "city_code": "913", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
112	{"qc": 0, "type": "PERSONAL", "email": "korobochka.1842@mail.ru", "local": "korobochka.1842", "domain": "mail.ru", "source": "korobochka.1842@mail.ru"}	email
113	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 911 111-22-33", "number": "1112233", "region": "Санкт-Петербург и Ленинградская область", "source": "+7(911)1112233", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "911", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
114	{"usage": {"totalTokens": "27", "inputTextTokens": "14", "completionTokens": "13", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "A Russian postal code has six digits: `^\\\\d{6}$`."}}], "modelVersion": "09.02.2025"}	gpt
115	{"qc": 0, "type": "ROLE", "email": "zakaz@oblomovka.example", "local": "zakaz", "domain": "oblomovka.example", "source": "zakaz@oblomovka.example"}	email
116	{"qc": 0, "type": "PERSONAL", "email": "vorobyaninov.1928@gmail.com", "local": "vorobyaninov.1928", "domain": "gmail.com", "source": "vorobyaninov.1928@gmail.com"}	email
117	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 999 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "+7 999 123-45-67", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "999", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
118	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 988 765-43-21", "number": "7654321", "region": "Краснодарский край", "source": "8-988-765-43-21", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "988", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
119	{"qc": 0, "type": "ROLE", "email": "support@vishnevy-sad.example", "local": "support", "domain": "vishnevy-sad.example", "source": "support@vishnevy-sad.example"}	email
120	{"qc": 0, "type": "CORPORATE", "email": "anderson@matrix.ru", "local": "anderson", "domain": "matrix.ru", "source": "anderson@matrix.ru"}	email
121	{"usage": {"totalTokens": "15", "inputTextTokens": "7", "completionTokens": "8", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Столица Австралии — Канберра."}}], "modelVersion": "09.02.2025"}	gpt
122	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 929 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "+7 929 111-22-33", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "929", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
123	{"qc": 7, "city": null, "type": "Стационарный", "phone": "+90  1234567890", "number": "1234567890", "region": null, "source": "+90 123 456 78 90", "country": "Турция", "provider": null, "timezone": "UTC+3", "city_code": null, "extension": null, "qc_conflict": 0, "country_code": "90"}	phone
124	{"qc": 3, "type": "DISPOSABLE", "email": "balaganov.1931@mailinator.com", "local": "balaganov.1931", "domain": "mailinator.com", "source": "balaganov.1931@mailinator.com"}	email
125	{"qc": 0, "type": "PERSONAL", "email": "koreiko.1931@rambler.ru", "local": "koreiko.1931", "domain": "rambler.ru", "source": "koreiko.1931@rambler.ru"}	email
126	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 937 765-43-21", "number": "7654321", "region": "Самарская область", "source": "8-937-765-43-21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+4", "city_code": "937", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
127	{"usage": {"totalTokens": "43", "inputTextTokens": "17", "completionTokens": "26", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "```sql\\nSELECT date_trunc('day', created_at) AS day, count(*)\\nFROM orders\\nGROUP BY day\\nORDER BY day;\\n```"}}], "modelVersion": "09.02.2025"}	gpt
128	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 938 123-45-67", "number": "1234567", "region": "Краснодарский край", "source": "938 123 45 67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "938", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
129	{"qc": 0, "type": "PERSONAL", "email": "famusov.1825@bk.ru", "local": "famusov.1825", "domain": "bk.ru", "source": "famusov.1825@bk.ru"}	email
130	{"usage": {"totalTokens": "19", "inputTextTokens": "12", "completionTokens": "7", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Good morning, colleagues!"}}], "modelVersion": "09.02.2025"}	gpt
306	{"qc": 0, "type": "CORPORATE", "email": "ranevskaya@roga-i-kopyta.example", "local": "ranevskaya", "domain": "roga-i-kopyta.example", "source": "ranevskaya@roga-i-kopyta.example"}	email
131	{"qc": 0, "city": "Калининград", "type": "Стационарный", "phone": "+7 4012 23-45-67", "number": "234567", "region": "Калининградская область", "source": "8 (4012) 23-45-67", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+2", "city_code": "4012", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
132	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 950 111-22-33", "number": "1112233", "region": "Свердловская область", "source": "8-950-111-22-33", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+5", "city_code": "950", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
133	{"qc": 2, "city": null, "type": null, "phone": null, "number": null, "region": null, "source": "qwe", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
134	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 977 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "89771112233", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "977", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
135	{"usage": {"totalTokens": "23", "inputTextTokens": "20", "completionTokens": "3", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Позитивная"}}], "modelVersion": "09.02.2025"}	gpt
136	{"qc": 0, "type": "PERSONAL", "email": "raskolnikov.1866@mail.ru", "local": "raskolnikov.1866", "domain": "mail.ru", "source": "raskolnikov.1866@mail.ru"}	email
137	{"qc": 0, "type": "CORPORATE", "email": "vronsky@oblomovka.example", "local": "vronsky", "domain": "oblomovka.example", "source": "vronsky@oblomovka.example"}	email
138	{"usage": {"totalTokens": "25", "inputTextTokens": "10", "completionTokens": "15", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "1. «Чайный лист»\\n2. «Самовар и мята»\\n3. «Пятый заварник»"}}], "modelVersion": "09.02.2025"}	gpt
139	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 938 765-43-21", "number": "7654321", "region": "Краснодарский край", "source": "+7 938 765-43-21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "938", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
140	{"qc": 0, "type": "CORPORATE", "email": "marmeladova@vishnevy-sad.example", "local": "marmeladova", "domain": "vishnevy-sad.example", "source": "marmeladova@vishnevy-sad.example"}	email
141	{"qc": 2, "type": null, "email": null, "local": null, "domain": null, "source": "!%^&#"}	email
142	{"qc": 0, "type": "ROLE", "email": "info@vishnevy-sad.example", "local": "info", "domain": "vishnevy-sad.example", "source": "info@vishnevy-sad.example"}	email
143	{"qc": 0, "type": "PERSONAL", "email": "stolz.1859@rambler.ru", "local": "stolz.1859", "domain": "rambler.ru", "source": "stolz.1859@rambler.ru"}	email
144	{"usage": {"totalTokens": "77", "inputTextTokens": "5", "completionTokens": "72", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Apache Kafka — это распределённый журнал сообщений. Программы-производители записывают в него события, а потребители читают их в своём темпе. Kafka хранит сообщения на дисках нескольких серверов, поэтому их можно прочитать повторно, а отказ одного сервера не приводит к потере данных."}}], "modelVersion": "09.02.2025"}	gpt
145	{"qc": 0, "city": "Красноярск", "type": "Стационарный", "phone": "+7 391 222-33-44", "number": "2223344", "region": "Красноярский край", "source": "8 (391) 222-33-44", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+7", "city_code": "391", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
146	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 915 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "915 111 22 33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "915", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
147	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 982 111-22-33", "number": "1112233", "region": "Свердловская область", "source": "8 (982) 111-22-33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+5", "city_code": "982", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
148	{"qc": 0, "type": "CORPORATE", "email": "famusov@vishnevy-sad.example", "local": "famusov", "domain": "vishnevy-sad.example", "source": "famusov@vishnevy-sad.example"}	email
149	{"qc": 4, "type": "PERSONAL", "email": "larina.1833@yandex.ru", "local": "larina.1833", "domain": "yandex.ru", "source": "larina.1833 @yandex.ru"}	email
150	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 932 123-45-67", "number": "1234567", "region": "Свердловская область", "source": "моб. 8 932 123 45 67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+5", "city_code": "932", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
151	{"qc": 0, "type": "CORPORATE", "email": "lopahin@vishnevy-sad.example", "local": "lopahin", "domain": "vishnevy-sad.example", "source": "lopahin@vishnevy-sad.example"}	email
152	{"qc": 0, "city": "Ростов-на-Дону", "type": "Стационарный", "phone": "+7 863 123-45-67 доб. 101", "number": "1234567", "region": "Ростовская область", "source": "8 (863) 123-45-67 доб. 101", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+3", "city_code": "863", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
153	{"qc": 0, "type": "ROLE", "email": "support@oblomovka.example", "local": "support", "domain": "oblomovka.example", "source": "support@oblomovka.example"}	email
154	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 937 123-45-67", "number": "1234567", "region": "Самарская область", "source": "89371234567", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+4", "city_code": "937", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
155	{"qc": 0, "city": "Москва", "type": "Прямой мобильный", "phone": "+7 495 243-45-68", "number": "2434568", "region": "Москва", "source": "+7 495 243-45-68", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "495", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
156	{"qc": 0, "type": "PERSONAL", "email": "manilov.1842@gmail.com", "local": "manilov.1842", "domain": "gmail.com", "source": "manilov.1842@gmail.com"}	email
157	{"qc": 0, "type": "PERSONAL", "email": "molchalin.1825@yandex.ru", "local": "molchalin.1825", "domain": "yandex.ru", "source": "molchalin.1825@yandex.ru"}	email
158	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 912 765-43-21", "number": "7654321", "region": "Свердловская область", "source": "912 765 43 21", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+5", "city_code": "912", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
159	{"qc": 0, "type": "CORPORATE", "email": "onegin@roga-i-kopyta.example", "local": "onegin", "domain": "roga-i-kopyta.example", "source": "onegin@roga-i-kopyta.example"}	email
160	{"qc": 0, "type": "PERSONAL", "email": "lensky.1833@gmail.com", "local": "lensky.1833", "domain": "gmail.com", "source": "lensky.1833@gmail.com"}	email
161	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 901 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "8-901-123-45-67", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "901", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
162	{"qc": 0, "type": "PERSONAL", "email": "lopahin.1904@yandex.ru", "local": "lopahin.1904", "domain": "yandex.ru", "source": "lopahin.1904@yandex.ru"}	email
163	{"usage": {"totalTokens": "58", "inputTextTokens": "39", "completionTokens": "19", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Магазин и самовывоз работают ежедневно с 9 до 21 часа, в праздники — с 10."}}], "modelVersion": "09.02.2025"}	gpt
164	{"usage": {"totalTokens": "28", "inputTextTokens": "15", "completionTokens": "13", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Самовары со скидкой 20 % — согреем до конца недели"}}], "modelVersion": "09.02.2025"}	gpt
165	{"qc": 0, "type": "CORPORATE", "email": "bezuhov@samovar-i-chay.example", "local": "bezuhov", "domain": "samovar-i-chay.example", "source": "bezuhov@samovar-i-chay.example"}	email
166	{"qc": 0, "city": null, "type": "Колл-центр", "phone": "+7 800 222-12-22", "number": "2221222", "region": null, "source": "8 800 222-12-22", "country": "Россия", "provider": "АО \\"Компания ТрансТелеКом\\"", "timezone": null, "city_code": "800", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
167	{"qc": 3, "city": null, "type": "Мобильный", "phone": "+7 921 765-43-21", "number": "7654321", "region": "Санкт-Петербург и Ленинградская область", "source": "+7 921 765-43-21; доп. 8 812 765-43-21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "921", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
168	{"qc": 0, "type": "CORPORATE", "email": "sobakevich@vishnevy-sad.example", "local": "sobakevich", "domain": "vishnevy-sad.example", "source": "sobakevich@vishnevy-sad.example"}	email
169	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 927 111-22-33", "number": "1112233", "region": "Самарская область", "source": "927 111 22 33", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+4", "city_code": "927", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
170	{"qc": 0, "city": "Москва", "type": "Стационарный", "phone": "+7 499 123-45-67 доб. 12", "number": "1234567", "region": "Москва", "source": "тел. +7 499 1234567*12", "country": "Россия", "provider": "ПАО \\"МГТС\\"", "timezone": "UTC+3", "city_code": "499", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
171	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 923 111-22-33", "number": "1112233", "region": "Новосибирская область", "source": "8 (923) 111-22-33", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+7", "city_code": "923", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
172	{"qc": 2, "city": null, "type": null, "phone": null, "number": null, "region": null, "source": "нет телефона", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
173	{"qc": 0, "city": "Москва", "type": "Стационарный", "phone": "+7 495 222-33-44", "number": "2223344", "region": "Москва", "source": "8 (495) 222-33-44", "country": "Россия", "provider": "ПАО \\"МГТС\\"", "timezone": "UTC+3", "city_code": "495", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
174	{"usage": {"totalTokens": "19", "inputTextTokens": "14", "completionTokens": "5", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Счёт во вложении."}}], "modelVersion": "09.02.2025"}	gpt
175	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 909 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "моб. 8 909 123 45 67", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "909", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
176	{"qc": 1, "city": null, "type": "Неизвестный", "phone": null, "number": null, "region": null, "source": "123-45", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
177	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 916 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "моб. 8 916 111 22 33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "916", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
178	{"qc": 0, "city": "Ростов-на-Дону", "type": "Стационарный", "phone": "+7 863 222-33-44", "number": "2223344", "region": "Ростовская область", "source": "8 (863) 222-33-44", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+3", "city_code": "863", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
179	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 961 123-45-67", "number": "1234567", "region": "Краснодарский край", "source": "+7(961)1234567", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "961", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
180	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 982 765-43-21", "number": "7654321", "region": "Свердловская область", "source": "моб. 8 982 765 43 21", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+5", "city_code": "982", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
181	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 983 123-45-67", "number": "1234567", "region": "Новосибирская область", "source": "89831234567", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+7", "city_code": "983", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
182	{"qc": 7, "city": null, "type": "Стационарный", "phone": "+992  123456789", "number": "123456789", "region": null, "source": "+992 12 345 67 89", "country": "Таджикистан", "provider": null, "timezone": "UTC+5", "city_code": null, "extension": null, "qc_conflict": 0, "country_code": "992"}	phone
183	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 909 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "8 (909) 765-43-21", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "909", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
184	{"qc": 0, "city": "Москва", "type": "Стационарный", "phone": "+7 495 456-55-77", "number": "4565577", "region": "Москва", "source": "+7 495 456-55-77", "country": "Россия", "provider": "ПАО \\"МГТС\\"", "timezone": "UTC+3", "city_code": "495", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
185	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 924 123-45-67", "number": "1234567", "region": "Хабаровский край", "source": "8 (924) 123-45-67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+10", "city_code": "924", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
186	{"qc": 0, "type": "PERSONAL", "email": "karenina.1878@mail.ru", "local": "karenina.1878", "domain": "mail.ru", "source": "karenina.1878@mail.ru"}	email
187	{"usage": {"totalTokens": "25", "inputTextTokens": "8", "completionTokens": "17", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Роман в стихах «Евгений Онегин» написал Александр Сергеевич Пушкин."}}], "modelVersion": "09.02.2025"}	gpt
188	{"usage": {"totalTokens": "17", "inputTextTokens": "8", "completionTokens": "9", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "The capital of Russia is Moscow."}}], "modelVersion": "09.02.2025"}	gpt
189	{"qc": 3, "type": "DISPOSABLE", "email": "panikovsky.1931@temp-mail.ru", "local": "panikovsky.1931", "domain": "temp-mail.ru", "source": "panikovsky.1931@temp-mail.ru"}	email
190	{"qc": 0, "type": "ROLE", "email": "info@roga-i-kopyta.example", "local": "info", "domain": "roga-i-kopyta.example", "source": "info@roga-i-kopyta.example"}	email
191	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 929 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "+7(929)1234567", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "929", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
192	{"qc": 0, "type": "PERSONAL", "email": "marmeladova.1866@gmail.com", "local": "marmeladova.1866", "domain": "gmail.com", "source": "marmeladova.1866@gmail.com"}	email
193	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 930 765-43-21", "number": "7654321", "region": "Нижегородская область", "source": "8 (930) 765-43-21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "930", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
194	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 916 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "89161234567", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "916", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
195	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 987 765-43-21", "number": "7654321", "region": "Самарская область", "source": "89877654321", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+4", "city_code": "987", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
196	{"qc": 0, "type": "PERSONAL", "email": "sobakevich.1842@yandex.ru", "local": "sobakevich.1842", "domain": "yandex.ru", "source": "sobakevich.1842@yandex.ru"}	email
197	{"qc": 0, "city": "Нижний Новгород", "type": "Стационарный", "phone": "+7 831 123-45-67 доб. 101", "number": "1234567", "region": "Нижегородская область", "source": "8 (831) 123-45-67 доб. 101", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+3", "city_code": "831", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
198	{"usage": {"totalTokens": "23", "inputTextTokens": "14", "completionTokens": "9", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Кто рано встаёт, тому Бог подаёт."}}], "modelVersion": "09.02.2025"}	gpt
199	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 920 111-22-33", "number": "1112233", "region": "Нижегородская область", "source": "89201112233", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "920", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
200	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 925 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "925 111 22 33", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "925", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
201	{"qc": 4, "type": "PERSONAL", "email": "rostova.1869@gmail.com", "local": "rostova.1869", "domain": "gmail.com", "source": "rostova.1869@gmail,com"}	email
202	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 914 111-22-33", "number": "1112233", "region": "Хабаровский край", "source": "+7(914)1112233", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+10", "city_code": "914", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
203	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 910 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "8-910-111-22-33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "910", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
204	{"qc": 0, "type": "CORPORATE", "email": "pechorin@samovar-i-chay.example", "local": "pechorin", "domain": "samovar-i-chay.example", "source": "pechorin@samovar-i-chay.example"}	email
205	{"qc": 0, "type": "PERSONAL", "email": "hlestakov.1836@mail.ru", "local": "hlestakov.1836", "domain": "mail.ru", "source": "hlestakov.1836@mail.ru"}	email
206	{"qc": 0, "type": "CORPORATE", "email": "bolkonsky@oblomovka.example", "local": "bolkonsky", "domain": "oblomovka.example", "source": "bolkonsky@oblomovka.example"}	email
207	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 914 123-45-67", "number": "1234567", "region": "Хабаровский край", "source": "моб. 8 914 123 45 67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+10", "city_code": "914", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
208	{"qc": 0, "type": "ROLE", "email": "support@roga-i-kopyta.example", "local": "support", "domain": "roga-i-kopyta.example", "source": "support@roga-i-kopyta.example"}	email
209	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 999 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "89997654321", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "999", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
210	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 917 111-22-33", "number": "1112233", "region": "Самарская область", "source": "+7(917)1112233", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+4", "city_code": "917", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
211	{"qc": 0, "type": "CORPORATE", "email": "bazarov@oblomovka.example", "local": "bazarov", "domain": "oblomovka.example", "source": "bazarov@oblomovka.example"}	email
212	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 983 765-43-21", "number": "7654321", "region": "Новосибирская область", "source": "8-983-765-43-21", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+7", "city_code": "983", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
213	{"qc": 0, "city": "Калининград", "type": "Стационарный", "phone": "+7 4012 22-33-44 доб. 12", "number": "223344", "region": "Калининградская область", "source": "тел. +7 4012 223344*12", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+2", "city_code": "4012", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
214	{"qc": 0, "type": "CORPORATE", "email": "chatsky@roga-i-kopyta.example", "local": "chatsky", "domain": "roga-i-kopyta.example", "source": "chatsky@roga-i-kopyta.example"}	email
215	{"qc": 0, "city": "Москва", "type": "Стационарный", "phone": "+7 499 222-33-44 доб. 101", "number": "2223344", "region": "Москва", "source": "8 (499) 222-33-44 доб. 101", "country": "Россия", "provider": "ПАО \\"МГТС\\"", "timezone": "UTC+3", "city_code": "499", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
216	{"usage": {"totalTokens": "31", "inputTextTokens": "10", "completionTokens": "21", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "An operation is idempotent if doing it twice has the same effect as doing it once."}}], "modelVersion": "09.02.2025"}	gpt
217	{"qc": 1, "city": null, "type": "Неизвестный", "phone": null, "number": null, "region": null, "source": "+123", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
218	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 920 123-45-67", "number": "1234567", "region": "Нижегородская область", "source": "920 123 45 67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "920", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
219	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 981 123-45-67", "number": "1234567", "region": "Санкт-Петербург и Ленинградская область", "source": "+7 981 123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "981", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
221	{"qc": 0, "city": "Иркутск", "type": "Стационарный", "phone": "+7 3952 22-33-44 доб. 101", "number": "223344", "region": "Иркутская область", "source": "8 (3952) 22-33-44 доб. 101", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+8", "city_code": "3952", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
222	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 985 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "+7(985)1234567", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "985", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
223	{"qc": 3, "city": null, "type": "Мобильный", "phone": "+7 916 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "8 916 123-45-67, 8 495 123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "916", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
224	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 981 111-22-33", "number": "1112233", "region": "Санкт-Петербург и Ленинградская область", "source": "8-981-111-22-33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "981", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
225	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 985 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "985 765 43 21", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "985", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
226	{"qc": 0, "city": "Екатеринбург", "type": "Стационарный", "phone": "+7 343 222-33-44 доб. 12", "number": "2223344", "region": "Свердловская область", "source": "тел. +7 343 2223344*12", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+5", "city_code": "343", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
227	{"qc": 0, "city": "Иркутск", "type": "Стационарный", "phone": "+7 3952 23-45-67 доб. 12", "number": "234567", "region": "Иркутская область", "source": "тел. +7 3952 234567*12", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+8", "city_code": "3952", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
228	{"qc": 7, "city": null, "type": "Стационарный", "phone": "+375  123456789", "number": "123456789", "region": null, "source": "+375123456789", "country": "Беларусь", "provider": null, "timezone": "UTC+3", "city_code": null, "extension": null, "qc_conflict": 0, "country_code": "375"}	phone
229	{"qc": 0, "type": "CORPORATE", "email": "levin@samovar-i-chay.example", "local": "levin", "domain": "samovar-i-chay.example", "source": "levin@samovar-i-chay.example"}	email
230	{"qc": 0, "type": "PERSONAL", "email": "pechorin.1840@rambler.ru", "local": "pechorin.1840", "domain": "rambler.ru", "source": "pechorin.1840@rambler.ru"}	email
231	{"usage": {"totalTokens": "25", "inputTextTokens": "23", "completionTokens": "2", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Оплата"}}], "modelVersion": "09.02.2025"}	gpt
232	{"usage": {"totalTokens": "26", "inputTextTokens": "23", "completionTokens": "3", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Негативная"}}], "modelVersion": "09.02.2025"}	gpt
233	{"qc": 0, "type": "ROLE", "email": "info@oblomovka.example", "local": "info", "domain": "oblomovka.example", "source": "info@oblomovka.example"}	email
234	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 984 123-45-67", "number": "1234567", "region": "Хабаровский край", "source": "+7 984 123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+10", "city_code": "984", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
235	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 933 111-22-33", "number": "1112233", "region": "Новосибирская область", "source": "89331112233", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+7", "city_code": "933", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
236	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 953 765-43-21", "number": "7654321", "region": "Санкт-Петербург и Ленинградская область", "source": "моб. 8 953 765 43 21", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "953", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
237	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 950 765-43-21", "number": "7654321", "region": "Свердловская область", "source": "89507654321", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+5", "city_code": "950", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
238	{"qc": 0, "type": "CORPORATE", "email": "korobochka@oblomovka.example", "local": "korobochka", "domain": "oblomovka.example", "source": "korobochka@oblomovka.example"}	email
239	{"qc": 0, "city": "Челябинск", "type": "Стационарный", "phone": "+7 351 123-45-67 доб. 101", "number": "1234567", "region": "Челябинская область", "source": "8 (351) 123-45-67 доб. 101", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+5", "city_code": "351", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
240	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 903 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "8-903-123-45-67", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "903", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
241	{"qc": 0, "type": "CORPORATE", "email": "bender@oblomovka.example", "local": "bender", "domain": "oblomovka.example", "source": "bender@oblomovka.example"}	email
242	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 929 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "929 765 43 21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "929", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
243	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 924 111-22-33", "number": "1112233", "region": "Хабаровский край", "source": "924 111 22 33", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+10", "city_code": "924", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
244	{"qc": 0, "type": "CORPORATE", "email": "oblomov@roga-i-kopyta.example", "local": "oblomov", "domain": "roga-i-kopyta.example", "source": "oblomov@roga-i-kopyta.example"}	email
245	{"qc": 0, "city": "Новосибирск", "type": "Стационарный", "phone": "+7 383 123-45-67", "number": "1234567", "region": "Новосибирская область", "source": "8 (383) 123-45-67", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+7", "city_code": "383", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
246	{"qc": 0, "type": "ROLE", "email": "zakaz@roga-i-kopyta.example", "local": "zakaz", "domain": "roga-i-kopyta.example", "source": "zakaz@roga-i-kopyta.example"}	email
247	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 922 123-45-67", "number": "1234567", "region": "Свердловская область", "source": "922 123 45 67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+5", "city_code": "922", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
248	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 912 111-22-33", "number": "1112233", "region": "Свердловская область", "source": "+7 912 111-22-33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+5", "city_code": "912", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
249	{"qc": 0, "type": "PERSONAL", "email": "balaganov.1931@bk.ru", "local": "balaganov.1931", "domain": "bk.ru", "source": "balaganov.1931@bk.ru"}	email
250	{"qc": 0, "type": "PERSONAL", "email": "larina.1833@mail.ru", "local": "larina.1833", "domain": "mail.ru", "source": "larina.1833@mail.ru"}	email
251	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 918 765-43-21", "number": "7654321", "region": "Краснодарский край", "source": "+7(918)7654321", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "918", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
252	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 922 111-22-33", "number": "1112233", "region": "Свердловская область", "source": "89221112233", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+5", "city_code": "922", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
253	{"qc": 0, "type": "ROLE", "email": "zakaz@samovar-i-chay.example", "local": "zakaz", "domain": "samovar-i-chay.example", "source": "zakaz@samovar-i-chay.example"}	email
254	{"qc": 0, "city": "Санкт-Петербург", "type": "Стационарный", "phone": "+7 812 222-33-44 доб. 12", "number": "2223344", "region": "Санкт-Петербург", "source": "тел. +7 812 2223344*12", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+3", "city_code": "812", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
255	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 901 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "моб. 8 901 765 43 21", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "901", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
256	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 932 111-22-33", "number": "1112233", "region": "Свердловская область", "source": "+7(932)1112233", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+5", "city_code": "932", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
257	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 981 765-43-21", "number": "7654321", "region": "Санкт-Петербург и Ленинградская область", "source": "89817654321", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "981", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
258	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 913 123-45-67", "number": "1234567", "region": "Новосибирская область", "source": "8 (913) 123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+7", "city_code": "913", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
259	{"qc": 0, "type": "CORPORATE", "email": "stolz@vishnevy-sad.example", "local": "stolz", "domain": "vishnevy-sad.example", "source": "stolz@vishnevy-sad.example"}	email
260	{"qc": 0, "city": "Санкт-Петербург", "type": "Стационарный", "phone": "+7 812 123-45-67", "number": "1234567", "region": "Санкт-Петербург", "source": "8 (812) 123-45-67", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+3", "city_code": "812", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
261	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 918 123-45-67", "number": "1234567", "region": "Краснодарский край", "source": "8 (918) 123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "918", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
262	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 917 123-45-67", "number": "1234567", "region": "Самарская область", "source": "моб. 8 917 123 45 67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+4", "city_code": "917", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
263	{"qc": 0, "type": "PERSONAL", "email": "vronsky.1878@gmail.com", "local": "vronsky.1878", "domain": "gmail.com", "source": "vronsky.1878@gmail.com"}	email
264	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 926 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "8-926-765-43-21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "926", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
265	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 921 111-22-33", "number": "1112233", "region": "Санкт-Петербург и Ленинградская область", "source": "921 111 22 33", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "921", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
266	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 909 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "+7(909)1112233", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "909", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
267	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 932 765-43-21", "number": "7654321", "region": "Свердловская область", "source": "8 (932) 765-43-21", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+5", "city_code": "932", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
268	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 911 123-45-67", "number": "1234567", "region": "Санкт-Петербург и Ленинградская область", "source": "моб. 8 911 123 45 67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "911", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
269	{"qc": 0, "city": "Краснодар", "type": "Стационарный", "phone": "+7 861 123-45-67", "number": "1234567", "region": "Краснодарский край", "source": "8 (861) 123-45-67", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+3", "city_code": "861", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
270	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 900 111-22-33", "number": "1112233", "region": "Санкт-Петербург и Ленинградская область", "source": "+7 900 111-22-33", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "900", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
271	{"qc": 0, "city": "Омск", "type": "Стационарный", "phone": "+7 3812 22-33-44 доб. 101", "number": "223344", "region": "Омская область", "source": "8 (3812) 22-33-44 доб. 101", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+6", "city_code": "3812", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
272	{"qc": 0, "type": "CORPORATE", "email": "kirsanov@samovar-i-chay.example", "local": "kirsanov", "domain": "samovar-i-chay.example", "source": "kirsanov@samovar-i-chay.example"}	email
273	{"qc": 0, "city": "Самара", "type": "Стационарный", "phone": "+7 846 231-60-14 доб. 139", "number": "2316014", "region": "Самарская область", "source": "раб 846)231.60.14 *139", "country": "Россия", "provider": "ООО \\"СИПАУТНЭТ\\"", "timezone": "UTC+4", "city_code": "846", "extension": "139", "qc_conflict": 0, "country_code": "7"}	phone
274	{"qc": 4, "type": "PERSONAL", "email": "nozdrev.1842@yandex.ru", "local": "nozdrev.1842", "domain": "yandex.ru", "source": "nozdrev.1842@yandex/ru"}	email
275	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 987 123-45-67", "number": "1234567", "region": "Самарская область", "source": "+7 987 123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+4", "city_code": "987", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
276	{"qc": 1, "city": null, "type": "Неизвестный", "phone": null, "number": null, "region": null, "source": "+7 333 1111112", "country": null, "provider": null, "timezone": null, "city_code": null, "extension": null, "qc_conflict": 0, "country_code": null}	phone
277	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 977 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "977 123 45 67", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "977", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
278	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 938 111-22-33", "number": "1112233", "region": "Краснодарский край", "source": "89381112233", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "938", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
279	{"qc": 0, "type": "CORPORATE", "email": "balaganov@vishnevy-sad.example", "local": "balaganov", "domain": "vishnevy-sad.example", "source": "balaganov@vishnevy-sad.example"}	email
280	{"qc": 0, "type": "PERSONAL", "email": "bezuhov.1869@bk.ru", "local": "bezuhov.1869", "domain": "bk.ru", "source": "bezuhov.1869@bk.ru"}	email
281	{"usage": {"totalTokens": "52", "inputTextTokens": "20", "completionTokens": "32", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Здравствуйте! Спасибо, что предупредили. Мы перенесли доставку на субботу, курьер позвонит вам за час до приезда. Хорошего дня!"}}], "modelVersion": "09.02.2025"}	gpt
282	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 914 765-43-21", "number": "7654321", "region": "Хабаровский край", "source": "8 (914) 765-43-21", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+10", "city_code": "914", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
283	{"qc": 0, "city": "Москва", "type": "Стационарный", "phone": "+7 495 123-45-67 доб. 101", "number": "1234567", "region": "Москва", "source": "8 (495) 123-45-67 доб. 101", "country": "Россия", "provider": "ПАО \\"МГТС\\"", "timezone": "UTC+3", "city_code": "495", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
284	{"qc": 0, "type": "PERSONAL", "email": "kirsanov.1862@yandex.ru", "local": "kirsanov.1862", "domain": "yandex.ru", "source": "kirsanov.1862@yandex.ru"}	email
285	{"qc": 0, "city": "Нижний Новгород", "type": "Стационарный", "phone": "+7 831 222-33-44", "number": "2223344", "region": "Нижегородская область", "source": "8 (831) 222-33-44", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+3", "city_code": "831", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
286	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 982 123-45-67", "number": "1234567", "region": "Свердловская область", "source": "8-982-123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+5", "city_code": "982", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
287	{"qc": 0, "type": "CORPORATE", "email": "chichikov@roga-i-kopyta.example", "local": "chichikov", "domain": "roga-i-kopyta.example", "source": "chichikov@roga-i-kopyta.example"}	email
288	{"qc": 0, "city": "Челябинск", "type": "Стационарный", "phone": "+7 351 222-33-44", "number": "2223344", "region": "Челябинская область", "source": "8 (351) 222-33-44", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+5", "city_code": "351", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
289	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 953 123-45-67", "number": "1234567", "region": "Санкт-Петербург и Ленинградская область", "source": "8-953-123-45-67", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "953", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
290	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 912 123-45-67", "number": "1234567", "region": "Свердловская область", "source": "+7(912)1234567", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+5", "city_code": "912", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
291	{"qc": 0, "city": "Хабаровск", "type": "Стационарный", "phone": "+7 4212 23-45-67 доб. 101", "number": "234567", "region": "Хабаровский край", "source": "8 (4212) 23-45-67 доб. 101", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+10", "city_code": "4212", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
292	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 977 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "+7 977 765-43-21", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "977", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
293	{"qc": 0, "type": "ROLE", "email": "zakaz@vishnevy-sad.example", "local": "zakaz", "domain": "vishnevy-sad.example", "source": "zakaz@vishnevy-sad.example"}	email
294	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 904 111-22-33", "number": "1112233", "region": "Нижегородская область", "source": "8-904-111-22-33", "country": "Россия", "provider": "ООО \\"Т2 Мобайл\\"", "timezone": "UTC+3", "city_code": "904", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
295	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 927 123-45-67", "number": "1234567", "region": "Самарская область", "source": "8 (927) 123-45-67", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+4", "city_code": "927", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
296	{"usage": {"totalTokens": "23", "inputTextTokens": "14", "completionTokens": "9", "completionTokensDetails": {"reasoningTokens": "0"}}, "alternatives": [{"status": "ALTERNATIVE_STATUS_FINAL", "message": {"role": "assistant", "text": "Извините, я не смогу прийти завтра."}}], "modelVersion": "09.02.2025"}	gpt
297	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 983 111-22-33", "number": "1112233", "region": "Новосибирская область", "source": "моб. 8 983 111 22 33", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+7", "city_code": "983", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
298	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 925 765-43-21", "number": "7654321", "region": "Москва и Московская область", "source": "+7(925)7654321", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "925", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
299	{"qc": 0, "type": "CORPORATE", "email": "karenina@vishnevy-sad.example", "local": "karenina", "domain": "vishnevy-sad.example", "source": "karenina@vishnevy-sad.example"}	email
300	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 903 111-22-33", "number": "1112233", "region": "Москва и Московская область", "source": "8 (903) 111-22-33", "country": "Россия", "provider": "ПАО \\"Вымпел-Коммуникации\\"", "timezone": "UTC+3", "city_code": "903", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
301	{"qc": 0, "city": "Краснодар", "type": "Стационарный", "phone": "+7 861 222-33-44 доб. 12", "number": "2223344", "region": "Краснодарский край", "source": "тел. +7 861 2223344*12", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+3", "city_code": "861", "extension": "12", "qc_conflict": 0, "country_code": "7"}	phone
302	{"qc": 0, "type": "CORPORATE", "email": "manilov@samovar-i-chay.example", "local": "manilov", "domain": "samovar-i-chay.example", "source": "manilov@samovar-i-chay.example"}	email
303	{"qc": 0, "city": "Красноярск", "type": "Стационарный", "phone": "+7 391 123-45-67 доб. 101", "number": "1234567", "region": "Красноярский край", "source": "8 (391) 123-45-67 доб. 101", "country": "Россия", "provider": "ПАО \\"Ростелеком\\"", "timezone": "UTC+7", "city_code": "391", "extension": "101", "qc_conflict": 0, "country_code": "7"}	phone
304	{"qc": 0, "type": "PERSONAL", "email": "onegin.1833@yandex.ru", "local": "onegin.1833", "domain": "yandex.ru", "source": "onegin.1833@yandex.ru"}	email
305	{"qc": 0, "type": "CORPORATE", "email": "hlestakov@samovar-i-chay.example", "local": "hlestakov", "domain": "samovar-i-chay.example", "source": "hlestakov@samovar-i-chay.example"}	email
307	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 928 111-22-33", "number": "1112233", "region": "Краснодарский край", "source": "8 (928) 111-22-33", "country": "Россия", "provider": "ПАО \\"МегаФон\\"", "timezone": "UTC+3", "city_code": "928", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
308	{"qc": 0, "city": null, "type": "Мобильный", "phone": "+7 915 123-45-67", "number": "1234567", "region": "Москва и Московская область", "source": "8 (915) 123-45-67", "country": "Россия", "provider": "ПАО \\"Мобильные ТелеСистемы\\"", "timezone": "UTC+3", "city_code": "915", "extension": null, "qc_conflict": 0, "country_code": "7"}	phone
309	{"qc": 0, "type": "PERSONAL", "email": "chatsky.1825@rambler.ru", "local": "chatsky.1825", "domain": "rambler.ru", "source": "chatsky.1825@rambler.ru"}	email
310	{"qc": 1, "type": null, "email": null, "local": null, "domain": null, "source": "@primer.example"}	email
\.


--
-- Data for Name: ledger; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.ledger (topic_id, partition, "offset", id) FROM stdin;
VTbfvdINTHeZaIcu5R3Zxg	11	0	1
VTbfvdINTHeZaIcu5R3Zxg	1	0	2
VTbfvdINTHeZaIcu5R3Zxg	7	0	3
VTbfvdINTHeZaIcu5R3Zxg	4	0	4
VTbfvdINTHeZaIcu5R3Zxg	10	0	5
VTbfvdINTHeZaIcu5R3Zxg	4	1	6
VTbfvdINTHeZaIcu5R3Zxg	6	0	7
VTbfvdINTHeZaIcu5R3Zxg	11	1	8
VTbfvdINTHeZaIcu5R3Zxg	9	0	9
VTbfvdINTHeZaIcu5R3Zxg	9	1	10
VTbfvdINTHeZaIcu5R3Zxg	3	0	11
VTbfvdINTHeZaIcu5R3Zxg	9	2	12
VTbfvdINTHeZaIcu5R3Zxg	11	2	13
VTbfvdINTHeZaIcu5R3Zxg	0	0	14
VTbfvdINTHeZaIcu5R3Zxg	10	1	15
VTbfvdINTHeZaIcu5R3Zxg	0	1	16
VTbfvdINTHeZaIcu5R3Zxg	2	0	17
VTbfvdINTHeZaIcu5R3Zxg	3	1	18
VTbfvdINTHeZaIcu5R3Zxg	1	1	19
VTbfvdINTHeZaIcu5R3Zxg	6	1	20
VTbfvdINTHeZaIcu5R3Zxg	4	2	21
VTbfvdINTHeZaIcu5R3Zxg	2	1	22
VTbfvdINTHeZaIcu5R3Zxg	4	3	23
VTbfvdINTHeZaIcu5R3Zxg	11	3	24
VTbfvdINTHeZaIcu5R3Zxg	9	3	25
VTbfvdINTHeZaIcu5R3Zxg	7	1	26
VTbfvdINTHeZaIcu5R3Zxg	9	4	27
VTbfvdINTHeZaIcu5R3Zxg	0	2	28
VTbfvdINTHeZaIcu5R3Zxg	2	2	29
VTbfvdINTHeZaIcu5R3Zxg	7	2	30
VTbfvdINTHeZaIcu5R3Zxg	1	2	31
VTbfvdINTHeZaIcu5R3Zxg	7	3	32
VTbfvdINTHeZaIcu5R3Zxg	5	0	33
VTbfvdINTHeZaIcu5R3Zxg	2	3	34
VTbfvdINTHeZaIcu5R3Zxg	4	4	35
VTbfvdINTHeZaIcu5R3Zxg	10	2	36
VTbfvdINTHeZaIcu5R3Zxg	4	5	37
VTbfvdINTHeZaIcu5R3Zxg	9	5	38
VTbfvdINTHeZaIcu5R3Zxg	7	4	39
VTbfvdINTHeZaIcu5R3Zxg	8	0	40
VTbfvdINTHeZaIcu5R3Zxg	2	4	41
VTbfvdINTHeZaIcu5R3Zxg	8	1	42
VTbfvdINTHeZaIcu5R3Zxg	10	3	43
VTbfvdINTHeZaIcu5R3Zxg	5	1	44
VTbfvdINTHeZaIcu5R3Zxg	7	5	45
VTbfvdINTHeZaIcu5R3Zxg	9	6	46
VTbfvdINTHeZaIcu5R3Zxg	3	2	47
VTbfvdINTHeZaIcu5R3Zxg	6	2	48
VTbfvdINTHeZaIcu5R3Zxg	0	3	49
VTbfvdINTHeZaIcu5R3Zxg	9	7	50
VTbfvdINTHeZaIcu5R3Zxg	3	3	51
VTbfvdINTHeZaIcu5R3Zxg	1	3	52
VTbfvdINTHeZaIcu5R3Zxg	3	4	53
VTbfvdINTHeZaIcu5R3Zxg	4	6	54
VTbfvdINTHeZaIcu5R3Zxg	2	5	55
VTbfvdINTHeZaIcu5R3Zxg	4	7	56
VTbfvdINTHeZaIcu5R3Zxg	6	3	57
VTbfvdINTHeZaIcu5R3Zxg	3	5	58
VTbfvdINTHeZaIcu5R3Zxg	5	2	59
VTbfvdINTHeZaIcu5R3Zxg	6	4	60
VTbfvdINTHeZaIcu5R3Zxg	4	8	61
VTbfvdINTHeZaIcu5R3Zxg	10	4	62
VTbfvdINTHeZaIcu5R3Zxg	0	4	63
VTbfvdINTHeZaIcu5R3Zxg	3	6	64
VTbfvdINTHeZaIcu5R3Zxg	9	8	65
VTbfvdINTHeZaIcu5R3Zxg	7	6	66
VTbfvdINTHeZaIcu5R3Zxg	1	4	67
VTbfvdINTHeZaIcu5R3Zxg	4	9	68
VTbfvdINTHeZaIcu5R3Zxg	10	5	69
VTbfvdINTHeZaIcu5R3Zxg	7	7	70
VTbfvdINTHeZaIcu5R3Zxg	1	5	71
VTbfvdINTHeZaIcu5R3Zxg	3	7	72
VTbfvdINTHeZaIcu5R3Zxg	1	6	73
VTbfvdINTHeZaIcu5R3Zxg	2	6	74
VTbfvdINTHeZaIcu5R3Zxg	0	5	75
VTbfvdINTHeZaIcu5R3Zxg	2	7	76
VTbfvdINTHeZaIcu5R3Zxg	0	6	77
VTbfvdINTHeZaIcu5R3Zxg	9	9	78
VTbfvdINTHeZaIcu5R3Zxg	11	4	79
VTbfvdINTHeZaIcu5R3Zxg	0	7	80
VTbfvdINTHeZaIcu5R3Zxg	2	8	81
VTbfvdINTHeZaIcu5R3Zxg	0	8	82
VTbfvdINTHeZaIcu5R3Zxg	2	9	83
VTbfvdINTHeZaIcu5R3Zxg	1	7	84
VTbfvdINTHeZaIcu5R3Zxg	3	8	85
VTbfvdINTHeZaIcu5R3Zxg	9	10	86
VTbfvdINTHeZaIcu5R3Zxg	7	8	87
VTbfvdINTHeZaIcu5R3Zxg	10	6	88
VTbfvdINTHeZaIcu5R3Zxg	0	9	89
VTbfvdINTHeZaIcu5R3Zxg	9	11	90
VTbfvdINTHeZaIcu5R3Zxg	3	9	91
VTbfvdINTHeZaIcu5R3Zxg	1	8	92
VTbfvdINTHeZaIcu5R3Zxg	7	9	93
VTbfvdINTHeZaIcu5R3Zxg	0	10	94
VTbfvdINTHeZaIcu5R3Zxg	6	5	95
VTbfvdINTHeZaIcu5R3Zxg	4	10	96
VTbfvdINTHeZaIcu5R3Zxg	6	6	97
VTbfvdINTHeZaIcu5R3Zxg	3	10	98
VTbfvdINTHeZaIcu5R3Zxg	9	12	99
VTbfvdINTHeZaIcu5R3Zxg	6	7	100
VTbfvdINTHeZaIcu5R3Zxg	8	2	101
VTbfvdINTHeZaIcu5R3Zxg	6	8	102
VTbfvdINTHeZaIcu5R3Zxg	0	11	103
VTbfvdINTHeZaIcu5R3Zxg	3	11	104
VTbfvdINTHeZaIcu5R3Zxg	5	3	105
VTbfvdINTHeZaIcu5R3Zxg	3	12	106
VTbfvdINTHeZaIcu5R3Zxg	1	9	107
VTbfvdINTHeZaIcu5R3Zxg	4	11	108
VTbfvdINTHeZaIcu5R3Zxg	10	7	109
VTbfvdINTHeZaIcu5R3Zxg	11	5	110
VTbfvdINTHeZaIcu5R3Zxg	5	4	111
VTbfvdINTHeZaIcu5R3Zxg	7	10	112
VTbfvdINTHeZaIcu5R3Zxg	5	5	113
VTbfvdINTHeZaIcu5R3Zxg	6	9	114
VTbfvdINTHeZaIcu5R3Zxg	4	12	115
VTbfvdINTHeZaIcu5R3Zxg	10	8	116
VTbfvdINTHeZaIcu5R3Zxg	4	13	117
VTbfvdINTHeZaIcu5R3Zxg	9	13	118
VTbfvdINTHeZaIcu5R3Zxg	7	11	119
VTbfvdINTHeZaIcu5R3Zxg	8	3	120
VTbfvdINTHeZaIcu5R3Zxg	2	10	121
VTbfvdINTHeZaIcu5R3Zxg	8	4	122
VTbfvdINTHeZaIcu5R3Zxg	10	9	123
VTbfvdINTHeZaIcu5R3Zxg	5	6	124
VTbfvdINTHeZaIcu5R3Zxg	11	6	125
VTbfvdINTHeZaIcu5R3Zxg	1	10	126
VTbfvdINTHeZaIcu5R3Zxg	7	12	127
VTbfvdINTHeZaIcu5R3Zxg	2	11	128
VTbfvdINTHeZaIcu5R3Zxg	0	12	129
VTbfvdINTHeZaIcu5R3Zxg	1	11	130
VTbfvdINTHeZaIcu5R3Zxg	3	13	131
VTbfvdINTHeZaIcu5R3Zxg	9	14	132
VTbfvdINTHeZaIcu5R3Zxg	7	13	133
VTbfvdINTHeZaIcu5R3Zxg	8	5	134
VTbfvdINTHeZaIcu5R3Zxg	2	12	135
VTbfvdINTHeZaIcu5R3Zxg	8	6	136
VTbfvdINTHeZaIcu5R3Zxg	2	13	137
VTbfvdINTHeZaIcu5R3Zxg	7	14	138
VTbfvdINTHeZaIcu5R3Zxg	5	7	139
VTbfvdINTHeZaIcu5R3Zxg	2	14	140
VTbfvdINTHeZaIcu5R3Zxg	4	14	141
VTbfvdINTHeZaIcu5R3Zxg	10	10	142
VTbfvdINTHeZaIcu5R3Zxg	4	15	143
VTbfvdINTHeZaIcu5R3Zxg	3	14	144
VTbfvdINTHeZaIcu5R3Zxg	5	8	145
VTbfvdINTHeZaIcu5R3Zxg	3	15	146
VTbfvdINTHeZaIcu5R3Zxg	1	12	147
VTbfvdINTHeZaIcu5R3Zxg	4	16	148
VTbfvdINTHeZaIcu5R3Zxg	2	15	149
VTbfvdINTHeZaIcu5R3Zxg	7	15	150
VTbfvdINTHeZaIcu5R3Zxg	1	13	151
VTbfvdINTHeZaIcu5R3Zxg	11	7	152
VTbfvdINTHeZaIcu5R3Zxg	9	15	153
VTbfvdINTHeZaIcu5R3Zxg	2	16	154
VTbfvdINTHeZaIcu5R3Zxg	0	13	155
VTbfvdINTHeZaIcu5R3Zxg	2	17	156
VTbfvdINTHeZaIcu5R3Zxg	8	7	157
VTbfvdINTHeZaIcu5R3Zxg	5	9	158
VTbfvdINTHeZaIcu5R3Zxg	7	16	159
VTbfvdINTHeZaIcu5R3Zxg	4	17	160
VTbfvdINTHeZaIcu5R3Zxg	10	11	161
VTbfvdINTHeZaIcu5R3Zxg	8	8	162
VTbfvdINTHeZaIcu5R3Zxg	10	12	163
VTbfvdINTHeZaIcu5R3Zxg	1	14	164
VTbfvdINTHeZaIcu5R3Zxg	3	16	165
VTbfvdINTHeZaIcu5R3Zxg	9	16	166
VTbfvdINTHeZaIcu5R3Zxg	7	17	167
VTbfvdINTHeZaIcu5R3Zxg	2	18	168
VTbfvdINTHeZaIcu5R3Zxg	4	18	169
VTbfvdINTHeZaIcu5R3Zxg	9	17	170
VTbfvdINTHeZaIcu5R3Zxg	11	8	171
VTbfvdINTHeZaIcu5R3Zxg	9	18	172
VTbfvdINTHeZaIcu5R3Zxg	7	18	173
VTbfvdINTHeZaIcu5R3Zxg	0	14	174
VTbfvdINTHeZaIcu5R3Zxg	2	19	175
VTbfvdINTHeZaIcu5R3Zxg	8	9	176
VTbfvdINTHeZaIcu5R3Zxg	6	10	177
VTbfvdINTHeZaIcu5R3Zxg	3	17	178
VTbfvdINTHeZaIcu5R3Zxg	5	10	179
VTbfvdINTHeZaIcu5R3Zxg	10	13	180
VTbfvdINTHeZaIcu5R3Zxg	0	15	181
VTbfvdINTHeZaIcu5R3Zxg	6	11	182
VTbfvdINTHeZaIcu5R3Zxg	4	19	183
VTbfvdINTHeZaIcu5R3Zxg	7	19	184
VTbfvdINTHeZaIcu5R3Zxg	5	11	185
VTbfvdINTHeZaIcu5R3Zxg	3	18	186
VTbfvdINTHeZaIcu5R3Zxg	1	15	187
VTbfvdINTHeZaIcu5R3Zxg	0	16	188
VTbfvdINTHeZaIcu5R3Zxg	2	20	189
VTbfvdINTHeZaIcu5R3Zxg	11	9	190
VTbfvdINTHeZaIcu5R3Zxg	1	16	191
VTbfvdINTHeZaIcu5R3Zxg	7	20	192
VTbfvdINTHeZaIcu5R3Zxg	5	12	193
VTbfvdINTHeZaIcu5R3Zxg	10	14	194
VTbfvdINTHeZaIcu5R3Zxg	8	10	195
VTbfvdINTHeZaIcu5R3Zxg	10	15	196
VTbfvdINTHeZaIcu5R3Zxg	8	11	197
VTbfvdINTHeZaIcu5R3Zxg	9	19	198
VTbfvdINTHeZaIcu5R3Zxg	7	21	199
VTbfvdINTHeZaIcu5R3Zxg	7	22	200
VTbfvdINTHeZaIcu5R3Zxg	9	20	201
VTbfvdINTHeZaIcu5R3Zxg	11	10	202
VTbfvdINTHeZaIcu5R3Zxg	5	13	203
VTbfvdINTHeZaIcu5R3Zxg	6	12	204
VTbfvdINTHeZaIcu5R3Zxg	0	17	205
VTbfvdINTHeZaIcu5R3Zxg	2	21	206
VTbfvdINTHeZaIcu5R3Zxg	4	20	207
VTbfvdINTHeZaIcu5R3Zxg	5	14	208
VTbfvdINTHeZaIcu5R3Zxg	11	11	209
VTbfvdINTHeZaIcu5R3Zxg	2	22	210
VTbfvdINTHeZaIcu5R3Zxg	4	21	211
VTbfvdINTHeZaIcu5R3Zxg	2	23	212
VTbfvdINTHeZaIcu5R3Zxg	8	12	213
VTbfvdINTHeZaIcu5R3Zxg	3	19	214
VTbfvdINTHeZaIcu5R3Zxg	1	17	215
VTbfvdINTHeZaIcu5R3Zxg	3	20	216
VTbfvdINTHeZaIcu5R3Zxg	9	21	217
VTbfvdINTHeZaIcu5R3Zxg	4	22	218
VTbfvdINTHeZaIcu5R3Zxg	2	24	219
VTbfvdINTHeZaIcu5R3Zxg	5	15	220
VTbfvdINTHeZaIcu5R3Zxg	11	12	221
VTbfvdINTHeZaIcu5R3Zxg	9	22	222
VTbfvdINTHeZaIcu5R3Zxg	11	13	223
VTbfvdINTHeZaIcu5R3Zxg	4	23	224
VTbfvdINTHeZaIcu5R3Zxg	2	25	225
VTbfvdINTHeZaIcu5R3Zxg	8	13	226
VTbfvdINTHeZaIcu5R3Zxg	6	13	227
VTbfvdINTHeZaIcu5R3Zxg	7	23	228
VTbfvdINTHeZaIcu5R3Zxg	1	18	229
VTbfvdINTHeZaIcu5R3Zxg	0	18	230
VTbfvdINTHeZaIcu5R3Zxg	10	16	231
VTbfvdINTHeZaIcu5R3Zxg	0	19	232
VTbfvdINTHeZaIcu5R3Zxg	6	14	233
VTbfvdINTHeZaIcu5R3Zxg	1	19	234
VTbfvdINTHeZaIcu5R3Zxg	7	24	235
VTbfvdINTHeZaIcu5R3Zxg	9	23	236
VTbfvdINTHeZaIcu5R3Zxg	3	21	237
VTbfvdINTHeZaIcu5R3Zxg	10	17	238
VTbfvdINTHeZaIcu5R3Zxg	8	14	239
VTbfvdINTHeZaIcu5R3Zxg	7	25	240
VTbfvdINTHeZaIcu5R3Zxg	5	16	241
VTbfvdINTHeZaIcu5R3Zxg	3	22	242
VTbfvdINTHeZaIcu5R3Zxg	1	20	243
VTbfvdINTHeZaIcu5R3Zxg	2	26	244
VTbfvdINTHeZaIcu5R3Zxg	0	20	245
VTbfvdINTHeZaIcu5R3Zxg	2	27	246
VTbfvdINTHeZaIcu5R3Zxg	0	21	247
VTbfvdINTHeZaIcu5R3Zxg	1	21	248
VTbfvdINTHeZaIcu5R3Zxg	7	26	249
VTbfvdINTHeZaIcu5R3Zxg	2	28	250
VTbfvdINTHeZaIcu5R3Zxg	0	22	251
VTbfvdINTHeZaIcu5R3Zxg	6	15	252
VTbfvdINTHeZaIcu5R3Zxg	4	24	253
VTbfvdINTHeZaIcu5R3Zxg	7	27	254
VTbfvdINTHeZaIcu5R3Zxg	9	24	255
VTbfvdINTHeZaIcu5R3Zxg	7	28	256
VTbfvdINTHeZaIcu5R3Zxg	9	25	257
VTbfvdINTHeZaIcu5R3Zxg	8	15	258
VTbfvdINTHeZaIcu5R3Zxg	6	16	259
VTbfvdINTHeZaIcu5R3Zxg	1	22	260
VTbfvdINTHeZaIcu5R3Zxg	11	14	261
VTbfvdINTHeZaIcu5R3Zxg	1	23	262
VTbfvdINTHeZaIcu5R3Zxg	11	15	263
VTbfvdINTHeZaIcu5R3Zxg	0	23	264
VTbfvdINTHeZaIcu5R3Zxg	2	29	265
VTbfvdINTHeZaIcu5R3Zxg	0	24	266
VTbfvdINTHeZaIcu5R3Zxg	6	17	267
VTbfvdINTHeZaIcu5R3Zxg	11	16	268
VTbfvdINTHeZaIcu5R3Zxg	1	24	269
VTbfvdINTHeZaIcu5R3Zxg	8	16	270
VTbfvdINTHeZaIcu5R3Zxg	10	18	271
VTbfvdINTHeZaIcu5R3Zxg	4	25	272
VTbfvdINTHeZaIcu5R3Zxg	6	18	273
VTbfvdINTHeZaIcu5R3Zxg	5	17	274
VTbfvdINTHeZaIcu5R3Zxg	3	23	275
VTbfvdINTHeZaIcu5R3Zxg	5	18	276
VTbfvdINTHeZaIcu5R3Zxg	7	29	277
VTbfvdINTHeZaIcu5R3Zxg	10	19	278
VTbfvdINTHeZaIcu5R3Zxg	4	26	279
VTbfvdINTHeZaIcu5R3Zxg	11	17	280
VTbfvdINTHeZaIcu5R3Zxg	1	25	281
VTbfvdINTHeZaIcu5R3Zxg	3	24	282
VTbfvdINTHeZaIcu5R3Zxg	1	26	283
VTbfvdINTHeZaIcu5R3Zxg	6	19	284
VTbfvdINTHeZaIcu5R3Zxg	8	17	285
VTbfvdINTHeZaIcu5R3Zxg	6	20	286
VTbfvdINTHeZaIcu5R3Zxg	8	18	287
VTbfvdINTHeZaIcu5R3Zxg	1	27	288
VTbfvdINTHeZaIcu5R3Zxg	3	25	289
VTbfvdINTHeZaIcu5R3Zxg	2	30	290
VTbfvdINTHeZaIcu5R3Zxg	0	25	291
VTbfvdINTHeZaIcu5R3Zxg	6	21	292
VTbfvdINTHeZaIcu5R3Zxg	0	26	293
VTbfvdINTHeZaIcu5R3Zxg	3	26	294
VTbfvdINTHeZaIcu5R3Zxg	1	28	295
VTbfvdINTHeZaIcu5R3Zxg	7	30	296
VTbfvdINTHeZaIcu5R3Zxg	5	19	297
VTbfvdINTHeZaIcu5R3Zxg	4	27	298
VTbfvdINTHeZaIcu5R3Zxg	11	18	299
VTbfvdINTHeZaIcu5R3Zxg	9	26	300
VTbfvdINTHeZaIcu5R3Zxg	1	29	301
VTbfvdINTHeZaIcu5R3Zxg	5	20	302
VTbfvdINTHeZaIcu5R3Zxg	6	22	303
VTbfvdINTHeZaIcu5R3Zxg	9	27	304
VTbfvdINTHeZaIcu5R3Zxg	2	31	305
VTbfvdINTHeZaIcu5R3Zxg	6	23	306
VTbfvdINTHeZaIcu5R3Zxg	7	31	307
VTbfvdINTHeZaIcu5R3Zxg	3	27	308
VTbfvdINTHeZaIcu5R3Zxg	3	28	309
VTbfvdINTHeZaIcu5R3Zxg	7	32	310
\.


--
-- Data for Name: redriven; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.redriven (topic_id, partition, "offset") FROM stdin;
b1Q0ZkXyR7Om2sW8nTtLJA	11	0
\.


--
-- Name: ledger_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.ledger_id_seq', 310, true);


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



"""The installed Quix Streams still has the functions that the operator replaces and calls, with these parameters."""

import inspect

import pytest
from quixstreams import Application
from quixstreams.core.stream import Stream, StreamFunction
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.dataframe.registry import DataFrameRegistry
from quixstreams.internal_consumer.consumer import InternalConsumer
from quixstreams.internal_producer import InternalProducer
from quixstreams.kafka.producer import Producer
from quixstreams.processing import ProcessingContext

from processor.apply_async.quix import DrainingApplication, QuixClient, QuixConsumer, QuixProducer


def methods(protocol):
    return [name for name, _ in inspect.getmembers(protocol, inspect.isfunction) if not name.startswith("_")]


def parameters(function):
    return [(each.name, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(
    ("protocol", "of_quix", "name"),
    [(QuixConsumer, InternalConsumer, name) for name in methods(QuixConsumer)]
    + [(QuixProducer, InternalProducer, name) for name in methods(QuixProducer)]
    + [(QuixClient, Producer, name) for name in methods(QuixClient)],
)
def test_quix_calls_its_clients_as_the_seam_expects(protocol, of_quix, name):
    assert parameters(getattr(protocol, name)) == parameters(getattr(of_quix, name))


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (ProcessingContext.init_checkpoint, ["self"]),
        (DataFrameRegistry.register_periodic_task, ["self", "task"]),
        (StreamingDataFrame.__dataframe_clone__, ["self", "topics", "stream", "stream_id"]),
        (Stream.add_function, ["self", "func"]),
        (StreamFunction.get_executor, ["self", "child_executors"]),
        (StreamFunction._resolve_branching, ["self", "child_executors"]),
        (Application.stop, ["self", "fail"]),
        (Application._on_sigint, ["self", "_"]),
    ],
)
def test_the_other_parts_of_quix_that_the_operator_uses_are_as_they_were(function, names):
    assert [*inspect.signature(function).parameters] == names


def test_quix_keeps_its_clients_where_the_seam_finds_them_and_makes_them_when_they_are_needed():
    application = Application("localhost:1", broker_availability_timeout=0)
    consumer, producer = application._processing_context.consumer, application._processing_context.producer
    assert isinstance(producer._producer, Producer)
    assert consumer._inner_consumer is producer._producer._inner_producer is None
    for configuration in (consumer._consumer_config, producer._producer._producer_config):
        assert configuration["bootstrap.servers"] == "localhost:1"
    assert consumer._consumer_config["partition.assignment.strategy"] == "range"
    assert {"consumer", "producer", "dataframe_registry"} <= ProcessingContext.__dataclass_fields__.keys()


def test_an_application_without_state_makes_no_folder_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    application = DrainingApplication("localhost:1", consumer_group="a group", broker_availability_timeout=0)
    assert application._state_manager._state_dir is None
    application._state_manager.init()
    assert list(tmp_path.iterdir()) == []

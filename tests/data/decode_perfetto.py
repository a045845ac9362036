"""Prints what a trace contains, decoded by the descriptors of Perfetto's own Python package. Fails for a reference to nothing."""

import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

trace = proto.Trace()
with open(sys.argv[1], "rb") as file:
    trace.ParseFromString(file.read())

tracks, names, functions, frames, stacks, values, annotations = {}, {}, {}, {}, {}, {}, {}
open_slices, flows = {}, set()


def stack(iid):
    return ";".join(functions[frame] for frame in stacks[iid])


for packet in trace.packet:
    assert packet.trusted_packet_sequence_id == 1
    assert not list(UnknownFieldSet(packet))
    interned = packet.interned_data
    for table, rows in [
        (names, interned.event_names),
        (annotations, interned.debug_annotation_names),
    ]:
        table.update((row.iid, row.name) for row in rows)
    for table, rows in [
        (functions, interned.function_names),
        (values, interned.debug_annotation_string_values),
    ]:
        table.update((row.iid, row.str.decode()) for row in rows)
    frames.update((frame.iid, functions[frame.function_name_id]) for frame in interned.frames)
    for row in interned.callstacks:
        stacks[row.iid] = [frame for frame in row.frame_ids if frames[frame]]
    if packet.HasField("track_descriptor"):
        track = packet.track_descriptor
        tracks[track.uuid] = track
        if track.HasField("process"):
            print("process", track.process.pid, track.process.process_name)
        elif track.HasField("thread"):
            print("thread", track.thread.tid, "of", track.thread.pid, track.thread.thread_name)
        elif track.HasField("parent_uuid"):
            print("track", track.name, "of thread", tracks[track.parent_uuid].thread.tid)
    elif packet.HasField("perf_sample"):
        sample = packet.perf_sample
        mode = proto.Profiling.CpuMode.Name(sample.cpu_mode)
        print("sample", sample.tid, "at", packet.timestamp, mode, stack(sample.callstack_iid))
    elif packet.HasField("track_event"):
        event = packet.track_event
        kind = proto.TrackEvent.Type.Name(event.type)
        thread = tracks[tracks[event.track_uuid].parent_uuid or event.track_uuid].thread.tid
        if kind == "TYPE_SLICE_BEGIN":
            assert open_slices.setdefault(event.track_uuid, 0) == 0
            open_slices[event.track_uuid] = (packet.timestamp, event)
        elif kind == "TYPE_SLICE_END":
            start, begin = open_slices.pop(event.track_uuid)
            text = " ".join(values[row.string_value_iid] for row in begin.debug_annotations if row.string_value_iid)
            length = packet.timestamp - start
            name = names[begin.name_iid]
            print("slice", thread, name, length, begin.callstack_weight, text or "-", stack(begin.callstack_iid))
        flows.update(event.flow_ids)
        for flow in event.terminating_flow_ids:
            flows.remove(flow)
            print("flow to", thread, "at", packet.timestamp)
assert not open_slices and not flows, (open_slices, flows)

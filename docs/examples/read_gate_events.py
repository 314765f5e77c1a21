"""Prints every gate event as a line of JSON. Needs: pip install kafka-python==3.0.12 fastavro==1.13.1 zstandard==0.25.0"""
import io, json, os, urllib.request
from fastavro import parse_schema, schemaless_reader
from kafka import KafkaConsumer

registry, brokers = os.environ["SCHEMA_REGISTRY_URL"], os.environ["KAFKA_BROKERS"].split(",")
topic = os.environ.get("HEADGATE_PREFIX", "headgate.") + "gate-events"
schemas = {}

def decode(record):
    schema_id = int.from_bytes(record[1:5], "big")  # Confluent wire format: a zero byte, the schema id, Avro
    if schema_id not in schemas:
        with urllib.request.urlopen(f"{registry}/schemas/ids/{schema_id}") as answer:
            schemas[schema_id] = parse_schema(json.loads(json.load(answer)["schema"]))
    return schemaless_reader(io.BytesIO(record[5:]), schemas[schema_id])

for record in KafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest", isolation_level="read_committed"):
    headers = {name: value.decode() for name, value in record.headers}
    print(json.dumps({"headers": headers, "event": decode(record.value)}), flush=True)

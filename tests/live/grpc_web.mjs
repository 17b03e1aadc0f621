// Clients of gRPC-Web as pages have them, on bytes instead of messages; says what came as one line of JSON.
// node grpc_web.mjs CLIENT URL METHOD MESSAGE
import { createRequire } from "node:module";

const require = createRequire(process.env.GRPC_WEB_MODULES + "/");
const [client, url, method, message] = process.argv.slice(2);
const bytes = (text) => new Uint8Array(Buffer.from(text));
const text = (data) => Buffer.from(data).toString();
const say = (found) => console.log(JSON.stringify(found));

function google(format) {
  global.XMLHttpRequest = require("xhr2");
  const web = require("grpc-web");
  const descriptor = new web.MethodDescriptor(
    `/test.Echo/${method}`, method === "Server" ? "server_streaming" : "unary", Object, Object, bytes, text);
  const base = new web.GrpcWebClientBase({ format });
  const found = { messages: [], code: 0, message: "" };
  const metadata = { "my-text": "a b", "my-data-bin": "AP8=" };
  if (method === "Server") {
    const stream = base.serverStreaming(url + `/test.Echo/${method}`, message, metadata, descriptor);
    stream.on("data", (data) => found.messages.push(data));
    stream.on("error", (error) => say({ ...found, code: error.code, message: error.message }));
    stream.on("end", () => say(found));
  } else {
    base.rpcCall(url + `/test.Echo/${method}`, message, metadata, descriptor, (error, data) =>
      say(error ? { ...found, code: error.code, message: error.message } : { ...found, messages: [data] }));
  }
}

function improbable() {
  const { grpc } = require("@improbable-eng/grpc-web");
  const { NodeHttpTransport } = require("@improbable-eng/grpc-web-node-http-transport");
  grpc.setDefaultTransport(NodeHttpTransport());
  const found = { messages: [], code: 0, message: "" };
  grpc.invoke(
    {
      methodName: method, service: { serviceName: "test.Echo" }, requestStream: false, responseStream: true,
      responseType: { deserializeBinary: (data) => ({ toObject: () => text(data) }) },
    },
    {
      host: url, request: { serializeBinary: () => bytes(message) }, metadata: { "my-text": "a b", "my-data-bin": "AP8=" },
      onMessage: (data) => found.messages.push(data.toObject()),
      onEnd: (code, said, trailers) => say({ ...found, code, message: said, trailing: trailers.get("trailing") }),
    });
}

({ google: () => google("text"), "google-binary": () => google("binary"), improbable })[client]();

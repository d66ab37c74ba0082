// What the tests with @xmpp/client share: its options, a client whose logins and messages are kept, and one JSON line at the end.
// The certificate to trust comes by NODE_EXTRA_CA_CERTS.
import { createRequire } from "node:module";
import { parseArgs } from "node:util";

export const { values: options } = parseArgs({
  options: Object.fromEntries(
    ["modules", "host", "port", "mode", "user1", "pass1", "user2", "pass2"].map((name) => [name, { type: "string" }]),
  ),
});
const require = createRequire(`${options.modules}/package.json`);
const { client, xml } = await import(require.resolve("@xmpp/client"));
export { xml };

const scheme = options.mode === "direct" ? "xmpps" : "xmpp";

export function start(jid, password) {
  const [username, domain] = jid.split("@");
  const entity = client({ service: `${scheme}://${options.host}:${options.port}`, domain, username, password });
  entity.inbox = [];
  entity.waiting = [];
  entity.logins = [];
  entity.reconnect.stop();
  entity.on("error", (error) => fail(error));
  // It listens for the answer to its header only once its write is confirmed: on loopback the answer may be there before.
  const write = entity.write.bind(entity);
  entity.write = async (text) => void write(text).catch(fail);
  entity.on("send", (element) => {
    if (element.is("auth")) entity.logins.push(`SASL ${element.attrs.mechanism}`);
    if (!element.is("authenticate", "urn:xmpp:sasl:2")) return;
    const resumes = element.getChild("resume", "urn:xmpp:sm:3") ? " with its session" : "";
    entity.logins.push(`${element.attrs.mechanism}${resumes}`);
  });
  entity.on("stanza", (stanza) => {
    if (!stanza.is("message")) return;
    const waiting = entity.waiting.shift();
    if (waiting) waiting(stanza);
    else entity.inbox.push(stanza);
  });
  return entity;
}

export const next = (entity) =>
  new Promise((resolve) => (entity.inbox.length ? resolve(entity.inbox.shift()) : entity.waiting.push(resolve)));

export const say = (entity, to, body) =>
  entity.send(xml("message", { to: to.toString(), type: "chat" }, xml("body", {}, body)));

export function fail(error) {
  console.log(JSON.stringify({ ok: false, reason: String(error) }));
  process.exit(1);
}

export function pass(result) {
  const version = require("@xmpp/client/package.json").version;
  console.log(JSON.stringify({ ok: true, client: `@xmpp/client ${version}`, mode: options.mode, ...result }));
  process.exit(0);
}

setTimeout(() => fail("no end within 20 s"), 20_000).unref();

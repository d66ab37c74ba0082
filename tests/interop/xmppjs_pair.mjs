// Two @xmpp/client clients log in by SASL2, exchange messages and ping their server; one comes back by a token (FAST). Prints one
// JSON line.
// The certificate to trust comes by NODE_EXTRA_CA_CERTS.
import { createRequire } from "node:module";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: Object.fromEntries(
    ["modules", "host", "port", "mode", "user1", "pass1", "user2", "pass2"].map((name) => [name, { type: "string" }]),
  ),
});
const require = createRequire(`${options.modules}/package.json`);
const { client, xml } = await import(require.resolve("@xmpp/client"));

const scheme = options.mode === "direct" ? "xmpps" : "xmpp";

function start(jid, password) {
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
    if (element.is("authenticate", "urn:xmpp:sasl:2")) entity.logins.push(element.attrs.mechanism);
    if (element.is("auth")) entity.logins.push(`SASL ${element.attrs.mechanism}`);
  });
  entity.on("stanza", (stanza) => {
    if (!stanza.is("message")) return;
    const waiting = entity.waiting.shift();
    if (waiting) waiting(stanza);
    else entity.inbox.push(stanza);
  });
  return entity;
}

const next = (entity) =>
  new Promise((resolve) => (entity.inbox.length ? resolve(entity.inbox.shift()) : entity.waiting.push(resolve)));

function fail(error) {
  console.log(JSON.stringify({ ok: false, reason: String(error) }));
  process.exit(1);
}

setTimeout(() => fail("no end within 20 s"), 20_000).unref();

try {
  const one = start(options.user1, options.pass1);
  const two = start(options.user2, options.pass2);
  const [here, there] = await Promise.all([one.start(), two.start()]);
  await Promise.all([one.send(xml("presence")), two.send(xml("presence"))]);
  await one.send(xml("message", { to: there.toString(), type: "chat" }, xml("body", {}, "wherefore art thou?")));
  const first = await next(two);
  if (first.getChildText("body") !== "wherefore art thou?" || first.attrs.from !== here.toString()) fail(`got ${first}`);
  await two.send(xml("message", { to: here.bare().toString(), type: "chat" }, xml("body", {}, "here <&> 'now' \u2764")));
  const second = await next(one);
  if (second.getChildText("body") !== "here <&> 'now' \u2764") fail(`got ${second}`);
  await one.iqCaller.get(xml("ping", "urn:xmpp:ping"), here.domain, 5000);
  await Promise.all([one.stop(), two.stop()]);
  await one.start();
  await one.iqCaller.get(xml("ping", "urn:xmpp:ping"), here.domain, 5000);
  await one.stop();
  const logins = [...two.logins, ...one.logins].join(", ");
  if (logins !== "SCRAM-SHA-1, SCRAM-SHA-1, HT-SHA-256-NONE") fail(`logins by ${logins}`);
  const version = require("@xmpp/client/package.json").version;
  console.log(JSON.stringify({ ok: true, client: `@xmpp/client ${version}`, mode: options.mode, logins }));
  process.exit(0);
} catch (error) {
  fail(error);
}

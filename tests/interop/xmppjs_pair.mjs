// Two @xmpp/client clients log in by SASL2, exchange messages and ping their server; one comes back by a token (FAST). Prints one
// JSON line.
import { fail, next, options, pass, say, start, xml } from "./xmppjs_client.mjs";

try {
  const one = start(options.user1, options.pass1);
  const two = start(options.user2, options.pass2);
  const [here, there] = await Promise.all([one.start(), two.start()]);
  await Promise.all([one.send(xml("presence")), two.send(xml("presence"))]);
  await say(one, there, "wherefore art thou?");
  const first = await next(two);
  if (first.getChildText("body") !== "wherefore art thou?" || first.attrs.from !== here.toString()) fail(`got ${first}`);
  await say(two, here.bare(), "here <&> 'now' \u2764");
  const second = await next(one);
  if (second.getChildText("body") !== "here <&> 'now' \u2764") fail(`got ${second}`);
  await one.iqCaller.get(xml("ping", "urn:xmpp:ping"), here.domain, 5000);
  await Promise.all([one.stop(), two.stop()]);
  await one.start();
  await one.iqCaller.get(xml("ping", "urn:xmpp:ping"), here.domain, 5000);
  await one.stop();
  const logins = [...two.logins, ...one.logins].join(", ");
  if (logins !== "SCRAM-SHA-1, SCRAM-SHA-1, HT-SHA-256-NONE") fail(`logins by ${logins}`);
  pass({ logins });
} catch (error) {
  fail(error);
}

// An @xmpp/client client whose socket is cut comes back by its token and with its session in one exchange: every message comes once,
// and in order. Prints one JSON line.
import { fail, next, options, pass, say, start, xml } from "./xmppjs_client.mjs";

try {
  const one = start(options.user1, options.pass1);
  const two = start(options.user2, options.pass2);
  const [here, there] = await Promise.all([one.start(), two.start()]);
  await Promise.all([one.send(xml("presence")), two.send(xml("presence"))]);
  let said = 0;
  let heard = 0;
  const speak = async (count) => {
    for (const end = said + count; said < end; said += 1) await say(two, here, `number ${said}`);
  };
  const listen = async () => {
    for (; heard < said; heard += 1) {
      const body = (await next(one)).getChildText("body");
      if (body !== `number ${heard}`) fail(`got ${body} for number ${heard}`);
    }
  };
  await speak(5);
  await listen();
  const cut = new Promise((resolve) => one.once("disconnect", resolve));
  one.socket.socket.destroy();
  await cut;
  await speak(5);
  const failed = new Promise((_, reject) => one.streamManagement.once("fail", reject));
  const resumed = new Promise((resolve) => one.streamManagement.once("resumed", resolve));
  await one.reconnect.reconnect();
  await Promise.race([resumed, failed]);
  await speak(5);
  await listen();
  if (one.jid.toString() !== here.toString()) fail(`${one.jid} instead of ${here}`);
  await say(one, there, "back again");
  const back = (await next(two)).getChildText("body");
  if (back !== "back again") fail(`got ${back}`);
  await one.iqCaller.get(xml("ping", "urn:xmpp:ping"), here.domain, 5000);
  if (one.inbox.length || two.inbox.length) fail(`twice: ${[...one.inbox, ...two.inbox]}`);
  await Promise.all([one.stop(), two.stop()]);
  const logins = one.logins.join(", ");
  if (logins !== "SCRAM-SHA-1, HT-SHA-256-NONE with its session") fail(`logins by ${logins}`);
  pass({ logins, messages: heard });
} catch (error) {
  fail(error);
}

import { beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './agent.ts';
import type { Far } from './far.ts';
import type { Shop } from './shop.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** Why this machine has nothing to try: the test passes, since there is nothing to get through by, and the page says so. */
    notTried?: string;
  }
}

/** Title, how it is tried, the port, and what comes of it where nobody governs. */
const WAYS = [
  ['11 a TCP connection to another pod', 'tcp', 7001, 'reached'],
  ['11 an IPv4 address written as IPv6', 'tcp, IPv4 in IPv6', 7001, 'reached'],
  ['37 a pod that is a proxy for others', 'tcp', 3128, 'reached'],
  ['13 UDP', 'udp', 7001, 'reached'],
  ['13 QUIC and DTLS', 'udp', 443, 'reached'],
  ['13 UDP-Lite', 'udp-lite', 7001, 'reached'],
  ['13 an echo request', 'echo by a raw socket', 7001, 'reached'],
  ['14 a name server of its own choice, over TCP', 'tcp', 53, 'reached'],
  ['14 a name server of its own choice, over UDP', 'udp', 53, 'reached'],
  ['14 DNS over TLS', 'tcp', 853, 'reached'],
  ['14 DNS over HTTPS', 'tcp', 443, 'reached'],
  ['15, 50 a socket bound to the device', 'tcp by a device', 7001, 'reached'],
  ['16 a mark on the packets', 'tcp with a mark', 7001, 'reached'],
  ['45 TCP Fast Open', 'tcp with fast open', 7001, 'reached'],
  ['46 io_uring', 'io_uring', 7001, 'reached'],
  ['47 SCTP', 'sctp', 7001, 'reached'],
  ['48 MPTCP', 'mptcp', 7001, 'reached'],
  ['7 a packet made by hand', 'raw ip', 7001, 'sent'],
  ['49 a frame around the IP stack', 'frame', 7001, 'sent'],
  ['49 frames by AF_XDP', 'af_xdp', 7001, 'opened'],
  ['55 the hypervisor, by AF_VSOCK', 'vsock', 7001, 'opened'],
  ['55 frames of PPPoE', 'pppoe', 7001, 'opened'],
] as const;
/** Its default profile of seccomp knows nothing of AF_VSOCK (containerd, pull request 7510). */
const OLD_RUNTIME = /^containerd:\/\/1\.[0-6]\./;
/** What a kernel says of a protocol that it does not have. */
const LACKING = /^(EPROTONOSUPPORT|ESOCKTNOSUPPORT|EAFNOSUPPORT|ENOSYS)$/;

/** The tests that try them all from an agent's container, of whatever mode its pod is. `of` is asked once they run. */
export function waysOut(of: () => { readonly shop: Shop; readonly bot: Agent; readonly far: Far }): void {
  describe('an agent gets nowhere by', () => {
    let runtime = '';
    let outcomes: readonly (readonly [string | undefined, string | undefined])[] = [];
    beforeAll(async () => {
      const { shop, bot, far } = of();
      const version = 'jsonpath={.items[0].status.nodeInfo.containerRuntimeVersion}';
      runtime = await shop.cluster.demand(['get', 'nodes', '-o', version]);
      const ways = WAYS.map(([, kind, port]) => ({ kind, port }));
      // The neighbour's hardware address, for frames, is known once somebody was called.
      const free = await far.triedBy(far.control, ways);
      const governed = await far.triedBy(bot, ways);
      outcomes = ways.map((_, index) => [free[index], governed[index]]);
    });

    test.for(WAYS.map(([title, , , open], index) => [title, open, index] as const))('%s', ([title, open, index], { task }) => {
      const [free, governed] = outcomes[index] ?? [];
      if (title.includes('AF_VSOCK') && OLD_RUNTIME.test(runtime)) {
        task.meta.notTried = `the default seccomp profile of ${runtime} lets it through`;
        return;
      }
      if (LACKING.test(free ?? '')) task.meta.notTried = 'this kernel does not have it';
      else expect(free).toBe(open);
      expect(['reached', 'sent', 'opened']).not.toContain(governed);
    });

    test('any of them: nothing of it has arrived', async () => {
      const log = await of().far.log();
      for (const kind of ['tcp', 'udp', 'mptcp', 'io_uring', 'raw ip', 'frame']) expect(log).toContain(`control by ${kind}\n`);
      expect(log).not.toContain('bot');
    });
  });
}

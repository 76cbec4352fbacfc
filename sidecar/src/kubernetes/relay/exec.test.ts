import { temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';
import { hasPods, KUBECTLS, kubectlOf, type Pods, startPods } from './pods.test-support.ts';

const SHOP: Pick<Spec['rules'][number], 'effect'> = { effect: 'Allow' };
const RULES: Spec['rules'] = [
  { ...SHOP, name: 'look', kubernetes: { verbs: ['get', 'list'], resources: ['pods'] } },
  {
    ...SHOP,
    name: 'run',
    kubernetes: { verbs: ['exec'], resources: ['pods/exec'], commands: ['echo **', 'cat', 'wc **', 'sh -c *', 'exit **'] },
  },
];

describe.skipIf(!hasPods)('exec', () => {
  let pods: Pods;
  let governed: Governed;
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  beforeAll(async () => {
    directory = await temporaryDirectory();
    pods = await startPods();
    governed = await startGoverned({ upstream: pods.address, ca: pods.ca, credential: { token: 't' }, rules: RULES });
  });
  afterAll(async () => {
    await governed?.[Symbol.asyncDispose]();
    await pods?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  for (const program of KUBECTLS) {
    describe(`by ${program}`, () => {
      const kubectl: ReturnType<typeof kubectlOf> = (args, input, environment) =>
        kubectlOf(program, { port: governed.port, ca: governed.ca, directory: directory.path })(args, input, environment);
      it('runs', async () => {
        console.log(await kubectl(['exec', 'web', '--', 'echo', 'a', 'b']));
        console.log(await kubectl(['exec', 'web', '--', 'rm', '/x']));
        console.log(await kubectl(['exec', 'web', '--', 'sh', '-c', 'exit 3']));
        console.log(await kubectl(['exec', '-i', 'web', '--', 'cat'], 'hello ann@example.com\n'));
        console.log(JSON.stringify(governed.records.map(({ record }) => record), null, 1).slice(0,6000));
      });
    });
  }
});

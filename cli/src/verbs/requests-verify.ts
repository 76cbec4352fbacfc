import type { Bundle } from '@chaperone/policy/attest';
import type { Command } from 'commander';
import type { ClusterFlags } from '../collector/transport.ts';
import { CliError, EXIT, usage } from '../errors.ts';
import { counted, writeLine } from '../io.ts';
import type { StreamOutput } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import type { TermsFlags } from '../proofs/terms.ts';
import { collect, outputOption, withCluster, withExamples } from './common.ts';

interface VerifyFlags extends ClusterFlags, TermsFlags {
  readonly file?: readonly string[];
  readonly keys?: readonly string[];
  readonly output: 'table' | StreamOutput;
}

export function addRequestsVerify(requests: Command, options: VerbOptions): void {
  const verify = requests
    .command('verify [NAME]')
    .description('Prove offline who decided, and that what became of it follows')
    .option('-f, --file <FILE>', 'copies of requests and decisions, JSON or YAML; "-": standard input (repeatable)', collect)
    .option('--terms <FILE>', 'operator.decide of the chart’s values, for decisions that are signed')
    .option('--issuer <URL>', 'issuer of people’s ID tokens, as oidc.issuer of the terms')
    .option('--client-id <ID>', 'client of the page where people decide')
    .option('--page <URL>', 'its address')
    .option('--username-claim <NAME>', 'claim that names the person (default: sub)')
    .option('--username-prefix <TEXT>', 'what stands before it')
    .option('--groups-claim <NAME>', 'claim with their groups (default: groups)')
    .option('--groups-prefix <TEXT>', 'what stands before each')
    .option('--keys <FILE>', 'JWK set of the issuer; else it is asked for it, over https (repeatable)', collect);
  withCluster(verify, 'requests', { isRemote: true })
    .addOption(outputOption('requests verify', ['table', 'json', 'jsonl', 'yaml'], 'json, jsonl: one request a line'))
    .addHelpText(
      'after',
      '\nDecisions that were given with kubectl or chaperone approve are the API server’s word (assurance kubernetes): nothing of them can be\nverified offline. Exits with 3 where a proof does not hold, or the state of a request does not follow from its decisions.',
    )
    .action((typed: string | undefined, flags: VerifyFlags) => run(typed, flags, options));
  withExamples(
    verify,
    'kubectl chaperone requests verify -n agents --terms terms.yaml --keys jwks.json',
    'chaperone requests verify -f decisions.json --issuer https://login.corp --client-id chaperone-decide --page https://decide.corp',
  );
}

async function run(typed: string | undefined, flags: VerifyFlags, options: VerbOptions): Promise<void> {
  const [{ proofsFor, verifyRequests }, { demandName }, { readTerms }, { readBundle }] = await Promise.all([
    import('../commands/verify-requests.ts'),
    import('../requests/desk.ts'),
    import('../proofs/terms.ts'),
    import('@chaperone/policy/attest'),
  ]);
  const name = typed === undefined ? undefined : demandName(typed);
  const said = await readTerms(flags);
  const { file, keys = [], output } = flags;
  const bundle = readBundle(file === undefined ? await clusterObjects(flags, options) : await fileObjects(file, flags, options));
  demandSome(bundle, file);
  if (bundle.others > 0) await writeLine(options.io.err, `passed over ${counted(bundle.others, 'object')} of other kinds`);
  const proofs = await proofsFor(bundle, said, keys, options.io);
  await verifyRequests(bundle, proofs, { output, paint: options.paint(), name }, options);
}

async function clusterObjects(flags: VerifyFlags, { io }: VerbOptions): Promise<unknown[]> {
  const { readRequestObjects } = await import('../requests/cluster-objects.ts');
  return readRequestObjects(flags, io.env);
}

async function fileObjects(files: readonly string[], flags: VerifyFlags, { io }: VerbOptions): Promise<unknown[]> {
  const { context, cluster, user, kubeconfig, namespace, allNamespaces, as } = flags;
  if ([context, cluster, user, kubeconfig, namespace, allNamespaces, as].some((flag) => flag !== undefined))
    throw usage('--file is read as a whole, and flags of a kubeconfig are about a cluster; leave one of them out');
  if (files.filter((file) => file === '-').length > 1) throw usage('standard input is read once');
  const { readObjects } = await import('../proofs/files.ts');
  const objects: unknown[] = [];
  for (const file of files) objects.push(...(await readObjects(file, io)));
  return objects;
}

/** A cluster may have none; a copy without any proves nothing. */
function demandSome({ requests, decisions, unreadable }: Bundle, files: readonly string[] | undefined): void {
  if (files === undefined || requests.length + decisions.length + unreadable.length > 0) return;
  throw new CliError('RequestMissing', `${files.join(', ')} holds no request and no decision`, { exit: EXIT.checkSaysNo });
}

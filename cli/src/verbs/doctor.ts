import type { Command } from 'commander';
import { EXIT } from '../errors.ts';
import type { ClusterFlags } from '../collector/transport.ts';
import type { EvidenceSources } from '../doctor/evidence.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import { outputOption, withCluster, withExamples } from './common.ts';

interface DoctorFlags extends ClusterFlags {
  readonly strict?: boolean;
  readonly since?: string;
  readonly output: 'text' | DocumentOutput;
}

/** By a tunnel of its own for each question, so that what happens on the way is said of that one. */
function askingCollector(options: VerbOptions, flags: ClusterFlags): EvidenceSources['ask'] {
  return async (what) => {
    const { CollectorClient } = await import('../collector/client.ts');
    await using transport = await options.openCluster(flags);
    return await what(new CollectorClient(transport));
  };
}

export function addDoctor(program: Command, options: VerbOptions): void {
  const { io } = options;
  const command = withCluster(
    program
      .command('doctor')
      .description('Check an installation and say what is wrong')
      .option('--strict', 'end with 3 where there is a warning too'),
    'installation',
    { isOne: true, isRemote: true },
  )
    .option('--since <FILE>', 'prove every entry of the log, and that it goes on from this kept checkpoint')
    .option('--chaperone-namespace <NAMESPACE>', 'where the chart is installed')
    .addOption(outputOption('doctor', ['text', 'json', 'yaml']))
    .addHelpText(
      'after',
      '\nIt reads, signs in to the collector as other commands do, and asks the API server about two pods that are never stored. What you may not look at it says.',
    )
    .action(async (flags: DoctorFlags) => {
      const [{ ApiServer }, { loadKubeconfig }, { findInstallation }, { gatherFacts }, { runChecks }, evidence, report] =
        await Promise.all([
          import('../cluster/api-server.ts'),
          import('../cluster/kubeconfig.ts'),
          import('../cluster/installation.ts'),
          import('../doctor/facts.ts'),
          import('../doctor/checks.ts'),
          import('../doctor/evidence.ts'),
          import('../doctor/report.ts'),
        ]);
      using api = new ApiServer(loadKubeconfig(flags, io.env));
      const system = await findInstallation(api, flags.chaperoneNamespace);
      const now = Date.now();
      const ask = askingCollector(options, { ...flags, chaperoneNamespace: system });
      const sources = { api, system, now, ask, ...(flags.since === undefined ? {} : { since: flags.since }) };
      const findings = [
        ...runChecks(await gatherFacts(api, system, now)),
        ...evidence.evidenceFindings(await evidence.gatherEvidence(sources)),
      ];
      const summary = report.summarise(findings);
      if (flags.output === 'text') io.out.write(`${report.reportText(findings, options.paint())}\n`);
      else await writeDocument(io, flags.output, { summary, findings });
      if (summary.failed > 0 || (flags.strict === true && summary.warnings > 0)) options.exit(EXIT.checkSaysNo);
    });
  withExamples(command, 'kubectl chaperone doctor', 'chaperone doctor --context prod-eu --strict -o json');
}

import { each, type Judge, plainIf } from './finding.ts';
import { onlyWith, type OptionTable } from './options.ts';
import { withSubcommands } from './subcommands.ts';

/** No plug-in, no other configuration (which may name programs that fetch credentials), no exec, cp, debug, edit, run or proxy. */
const KUBECTL: OptionTable = {
  flags: 'ARwf',
  values: 'nolLc',
  long: `namespace= output= selector= all-namespaces watch follow context= container= tail= since= previous timestamps sort-by= no-headers
    show-labels label-columns= field-selector= all-containers[=] request-timeout= to-revision= replicas= timeout= for= limit= recursive
    ignore-not-found[=] dry-run[=] now wait[=] overwrite[=] prefix client short watch-only`,
};
/** Without -f FILE, which may be an address, where it is no follow. */
const withoutFiles = onlyWith({ ...KUBECTL, flags: 'ARw' });

const DOCKER: OptionTable = {
  flags: 'aqstfl',
  values: 'n',
  long: 'all quiet no-trunc format= filter= tail= since= until= follow timestamps latest no-stream size time= details',
};

/** By its name: a path would put a file of anybody's in its place. */
const UNIT = /^[\w@.:*\\-]+$/;

export const SERVICES: Readonly<Record<string, Judge>> = {
  kubectl: withSubcommands(
    { values: 'n', long: 'namespace= context= request-timeout=' },
    {
      ...each(
        'get describe explain top version api-resources api-versions cluster-info wait scale rollout label annotate delete cordon uncordon',
        withoutFiles,
      ),
      logs: onlyWith(KUBECTL),
    },
  ),
  ...each(
    'docker podman',
    withSubcommands(
      {},
      {
        ...each(
          'ps images logs inspect stats version info top port diff history events start stop restart kill pause unpause rm rmi pull',
          onlyWith(DOCKER),
        ),
        ...each('container image volume network', withSubcommands({}, each('ls inspect', onlyWith(DOCKER)))),
      },
    ),
  ),
  // Not there: edit, which starts an editor; set-property, link, -H, --root.
  systemctl: withSubcommands(
    {
      flags: 'alq',
      values: 'npto',
      long: 'no-pager all full quiet lines= property= type= state= output= plain no-legend user system failed value no-block',
    },
    each(
      `status is-active is-enabled is-failed show cat list-units list-unit-files list-timers list-dependencies start stop restart reload try-restart
      reload-or-restart enable disable mask unmask daemon-reload reset-failed kill`,
      onlyWith(
        {
          flags: 'alq',
          values: 'npsto',
          long: 'no-pager all full quiet lines= property= type= state= output= plain no-legend user failed value no-block now signal=',
        },
        ({ operands }) => operands.every((unit) => UNIT.test(unit)),
      ),
    ),
  ),
  // To read: the kernel can be told which program it runs.
  sysctl: onlyWith({ flags: 'aenN', long: 'all names values' }, ({ operands }) => operands.every((name) => !name.includes('='))),
  service: (args) => plainIf(args.every((arg) => /^[\w][\w.@-]*$/.test(arg))),
};

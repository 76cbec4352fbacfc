import { each, type Finding, type Judge, OPTION, plainIf } from './finding.ts';
import { onlyWith, parseArguments } from './options.ts';

/** Programs that move whole trees of files. What they write is where their words say. */
export const ARCHIVES: Readonly<Record<string, Judge>> = {
  ...each('tar bsdtar', tar),
  rsync,
  // Not there: --strip-program, and -s, which runs it.
  install: onlyWith({
    flags: 'bcCdDpTv',
    values: 'gmoSt',
    long: 'compare directory group= mode= owner= preserve-timestamps suffix= target-directory= no-target-directory verbose backup[=]',
  }),
};

/** A name with a colon would be on another host, over a shell of tar's own choice. */
const LOCAL = /^[^:]*$/;

/** Without programs that compress, filter, check or fetch; the names of files do not come from a file. */
function tar(args: readonly string[]): Finding {
  const words = dashed(args);
  const found =
    words &&
    parseArguments(words, {
      flags: 'ctxzjJvpOkmr',
      values: 'fC',
      long: `create extract list gzip bzip2 xz zstd verbose file= directory= exclude= strip-components= to-stdout no-same-owner keep-old-files
      preserve-permissions no-same-permissions numeric-owner wildcards`,
    });
  if (found === undefined) return OPTION;
  const archives = found.options.filter(([name]) => name === 'f' || name === 'file');
  return plainIf(archives.every(([, archive]) => LOCAL.test(archive)));
}

/**
 * `tar tzf a.tgz` as `tar -t -z -f a.tgz`: a first word without a dash is letters, and their values follow in order. tar takes any other
 * character for a letter too, and so for an option; then it is not known.
 */
function dashed([letters = '', ...words]: readonly string[]): readonly string[] | undefined {
  if (letters === '' || letters.startsWith('-')) return [letters, ...words];
  if (!/^[a-zA-Z]+$/.test(letters)) return undefined;
  const rest = [...words];
  const options = Array.from(letters).flatMap((letter) =>
    'fC'.includes(letter) ? [`-${letter}`, rest.shift() ?? '-'] : [`-${letter}`],
  );
  return [...options, ...rest];
}

/** Between two places of this host. */
function rsync(args: readonly string[]): Finding {
  const found = parseArguments(args, {
    flags: 'abcdghHiklmnoprtuvxzDLPqSW',
    long: `archive recursive delete delete-after exclude= include= dry-run itemize-changes stats progress partial checksum update verbose
      compress links perms times owner group human-readable ignore-existing size-only numeric-ids bwlimit= max-size= min-size=`,
  });
  return plainIf(found?.operands.every((operand) => LOCAL.test(operand)) ?? false);
}

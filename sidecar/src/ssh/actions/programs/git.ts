import { each, type Judge, plainIf } from './finding.ts';
import { type Arguments, onlyWith } from './options.ts';
import { withSubcommands } from './subcommands.ts';

/** What log, show and diff have in common. Not there: -O, --output, --ext-diff, --textconv, --show-signature. */
const DIFF_LONG = `stat[=] shortstat numstat name-only name-status patch no-patch unified= cached staged color[=] no-color word-diff[=] no-renames
  find-renames[=] ignore-all-space ignore-space-change exit-code quiet summary check raw diff-filter= relative[=] no-ext-diff no-textconv
  merge-base full-index abbrev[=] binary minimal patience histogram no-prefix ours theirs base`;
const LOG_LONG = `${DIFF_LONG} oneline graph decorate[=] no-decorate all branches[=] tags[=] remotes[=] since= until= after= before= author= committer= grep= format=
  pretty[=] max-count= skip= reverse follow merges no-merges first-parent date= date-order topo-order abbrev-commit left-right cherry-pick
  full-history simplify-by-decoration source count parents children no-walk[=] boundary ancestry-path[=] regexp-ignore-case`;
const log = onlyWith({ flags: 'pruswbciMCR0123456789', values: 'nSGUL', long: LOG_LONG });

/** A remote by name or by an address that git reaches itself or over ssh; not `ext::` and its kin, nor anything like an option. */
const REMOTE =
  /^(\w[\w./-]*|https:\/\/[\w.:@%-]+\/[\w.~%/-]*|ssh:\/\/\w[\w.:@%-]*\/[\w.~%/-]*|\w[\w.-]*@\w[\w.-]*:[\w.~/][\w.~/-]*|\/[\w./-]*)$/;
const REFS = /^[+]?[\w^~@{}./:][\w^~@{}./:-]*$/;
/** Of `--rebase`: all but `interactive`. */
const REBASE = /^(true|false|m|merges)?$/;
const remotes = (flags: string, long: string): Judge =>
  onlyWith(
    { flags, values: 'bo', long },
    ({ options, operands: [remote = 'origin', ...refs] }) =>
      REMOTE.test(remote) &&
      refs.every((ref) => REFS.test(ref)) &&
      options.every(([name, value]) => name !== 'rebase' || REBASE.test(value)),
  );

function has(options: Arguments['options'], ...names: readonly string[]): boolean {
  return options.some(([name]) => names.includes(name));
}

/**
 * Nothing here starts an editor, which would take commands from its input: where git would for want of a message, there has to be one.
 * What a repository itself says (hooks, filters, drivers, a pager) is run all the same: who may write its files or configuration may
 * run anything that way, and no word of a command shows it.
 */
export const GIT: Readonly<Record<string, Judge>> = {
  git: withSubcommands(
    { flags: 'P', values: 'C', long: 'no-pager version no-optional-locks literal-pathspecs' },
    {
      ...each('log show diff shortlog rev-list whatchanged', log),
      grep: onlyWith({
        flags: 'niwlLcEFPGhHvpqIW',
        values: 'eABCm',
        long: 'line-number ignore-case word-regexp files-with-matches name-only count cached untracked no-index color[=] heading break show-function',
      }),
      status: onlyWith({
        flags: 'sbvz',
        values: '',
        long: 'short branch porcelain[=] untracked-files[=] ignored[=] long ahead-behind show-stash verbose',
      }),
      'rev-parse': onlyWith({
        flags: 'q',
        long: 'verify short[=] abbrev-ref[=] show-toplevel git-dir is-inside-work-tree quiet symbolic-full-name all show-prefix',
      }),
      'ls-files': onlyWith({
        flags: 'cdmosuztv',
        values: 'x',
        long: 'cached deleted modified others stage unmerged exclude-standard error-unmatch full-name',
      }),
      'ls-tree': onlyWith({ flags: 'rtdlz', long: 'name-only full-tree full-name long' }),
      blame: onlyWith({ flags: 'lwesfnpMC', values: 'L', long: 'porcelain line-porcelain date= since=' }),
      describe: onlyWith({ long: 'tags all always dirty[=] abbrev= long exact-match match= first-parent' }),
      'cat-file': onlyWith({ flags: 'tspe' }),
      branch: onlyWith({
        flags: 'avrdDmMfl',
        long: 'all remotes list[=] verbose show-current merged[=] no-merged[=] contains= delete move force sort= format= no-color track[=]',
      }),
      tag: onlyWith(
        {
          flags: 'ladfi',
          values: 'mn',
          long: 'list[=] delete annotate message= sort= contains= points-at= format= merged[=]',
        },
        ({ options }) => has(options, 'm', 'message') || !has(options, 'a', 'annotate'),
      ),
      reflog: onlyWith(
        { flags: 'n0123456789', long: 'all date=' },
        ({ operands: [first = 'show'] }) => first !== 'expire' && first !== 'delete',
      ),
      remote: onlyWith({ flags: 'v', long: 'verbose all push' }, ({ operands: [verb = ''] }) =>
        ['', 'show', 'get-url'].includes(verb),
      ),
      stash: (args) =>
        onlyWith(
          { flags: 'uakpq', values: 'm', long: 'include-untracked keep-index message= index quiet stat patch' },
          // All others that know a patch choose its parts, and edit them.
          ({ options }) => args[0] === 'show' || !has(options, 'p', 'patch'),
        )(args, 'git'),
      add: onlyWith({ flags: 'Aufnv', long: 'all update force dry-run verbose intent-to-add' }),
      rm: onlyWith({ flags: 'rfnq', long: 'cached force dry-run quiet' }),
      mv: onlyWith({ flags: 'fknv', long: 'force dry-run verbose' }),
      commit: (args) =>
        onlyWith(
          {
            flags: 'aqvsn',
            values: 'm',
            long: 'all message= amend no-edit allow-empty signoff quiet no-verify author= date= no-gpg-sign',
          },
          ({ options }) => has(options, 'm', 'message', 'no-edit'),
        )(args, 'git'),
      ...each(
        'checkout switch',
        onlyWith({ flags: 'qftd', values: 'bBcC', long: 'quiet force detach create= track[=] ours theirs orphan=' }),
      ),
      restore: onlyWith({ flags: 'qSW', values: 's', long: 'staged worktree source= quiet ours theirs' }),
      reset: onlyWith({ flags: 'q', long: 'hard soft mixed keep merge quiet' }),
      clean: onlyWith({ flags: 'fdnxXq', values: 'e', long: 'force dry-run quiet exclude=' }),
      merge: onlyWith(
        { flags: 'q', values: 'm', long: 'ff no-ff ff-only abort no-edit squash quiet no-commit' },
        ({ options, operands }) =>
          operands.length === 0 ? has(options, 'abort') : has(options, 'ff-only', 'no-edit', 'm', 'squash', 'no-commit'),
      ),
      fetch: remotes('apqtv', 'all prune tags no-tags quiet verbose depth= force dry-run unshallow'),
      pull: remotes('qv', 'ff-only rebase[=] no-rebase quiet verbose tags depth= prune autostash no-edit'),
      push: remotes(
        'fqunvd',
        'all tags force force-with-lease[=] set-upstream dry-run quiet verbose delete no-verify porcelain follow-tags',
      ),
      'ls-remote': remotes('qht', 'heads tags refs quiet symref exit-code get-url'),
      version: (args) => plainIf(args.length === 0),
      init: onlyWith({ flags: 'q', values: 'b', long: 'bare quiet initial-branch=' }),
    },
  ),
};

import { execFileSync } from 'node:child_process';

/**
 * Takes in what a sidecar tries its own capture with, as the rules of its pod would; nothing else of this machine is touched. Without it a
 * sidecar outside of a pod proves nothing and serves nobody. Returns what takes it away. Needs root. @throws Error
 */
export function captureProbes({ selfPort, denyPort }: { readonly selfPort: number; readonly denyPort: number }): () => void {
  const table = `inet chaperone_bench_${selfPort}`;
  nft(`table ${table} {
  chain out_nat {
    type nat hook output priority -100;
    tcp sport ${selfPort} redirect to :${denyPort}
  }
  chain out_filter {
    type filter hook output priority 0;
    udp sport ${selfPort} reject
  }
}
`);
  return () => nft(`delete table ${table}\n`);
}

function nft(input: string): void {
  const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
  execFileSync('nft', ['-f', '-'], { input, stdio: ['pipe', 'ignore', 'inherit'], env: { ...process.env, PATH } });
}

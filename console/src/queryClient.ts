/** The cache of what was fetched. What the gateway refused is not asked again; a lost network is, once. */
import { QueryClient } from '@tanstack/react-query';

import { asProblem } from './api/problem';

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      refetchOnWindowFocus: true,
      retry: (failures, error) => failures < 1 && [0, 502, 503, 504].includes(asProblem(error).status),
    },
    mutations: { retry: false },
  },
});

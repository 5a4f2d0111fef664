// A program with a background thread that outlives main(). With -DJOINED it is stopped and joined first.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

namespace {

std::atomic<bool> stopping{false};

void work() {
  while (!stopping) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

// It is destroyed after main() has returned. A std::thread that nobody joined ends the process then.
std::thread worker;

}  // namespace

int main() {
  worker = std::thread(work);
  std::puts("the work is done");
#ifdef JOINED
  stopping = true;
  worker.join();
#endif
  return 0;
}
